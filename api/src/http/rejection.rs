//! Why a request or a connection is rejected before it is handled.

use crate::rate_limit::Exceeded;

/// Why a request or a connection is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The request requires a key and has none.
    NoKey,
    /// Its key is invalid.
    WrongKey,
    /// The request requires a key, and none is configured.
    NoKeysSet,
    /// The request requires a key or must come directly from a program on this machine. This header indicates that it
    /// came through a proxy or from a web page.
    NotDirect(&'static str),
    /// Its client exceeded its rate limit.
    TooManyRequests(Exceeded),
    /// Its client has too many connections open.
    TooManyConnections,
    /// All clients together have too many connections open, and each of these is handling a request.
    ConnectionLimitReached,
    /// Too many requests are in flight (load shedding).
    InFlightLimitReached,
}

impl Rejection {
    /// Every label, in the order of [`Self::index`].
    pub const LABELS: [&str; 8] = [
        "no_key",
        "wrong_key",
        "no_keys_set",
        "not_direct",
        "rate_limit",
        "client_connections",
        "connections",
        "in_flight",
    ];

    /// Its position in [`Self::LABELS`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::NoKey => 0,
            Self::WrongKey => 1,
            Self::NoKeysSet => 2,
            Self::NotDirect(_) => 3,
            Self::TooManyRequests(_) => 4,
            Self::TooManyConnections => 5,
            Self::ConnectionLimitReached => 6,
            Self::InFlightLimitReached => 7,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}
