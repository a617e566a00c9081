//! Why a request or a connection is rejected before it is handled.

use crate::rate_limit::Exceeded;

/// Why a request or a connection is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It needs a key and shows none.
    NoKey,
    /// Its key is none of ours.
    WrongKey,
    /// It needs a key, and the process has none to compare with.
    NoKeysSet,
    /// Its client asks too often.
    TooManyRequests(Exceeded),
    /// Its client has too many connections open.
    TooManyConnections,
    /// All clients together have too many connections open, and each of them is being answered.
    ConnectionLimitReached,
    /// It needs a key or a program on this machine that connects directly, and came through a proxy or from a web page, as
    /// this header says.
    NotDirect(&'static str),
}

impl Rejection {
    /// Every label, in the order of [`Self::label`].
    pub const LABELS: [&str; 7] = [
        "no_key",
        "wrong_key",
        "no_keys_set",
        "requests",
        "connections",
        "room",
        "not_direct",
    ];

    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        Self::LABELS[match self {
            Self::NoKey => 0,
            Self::WrongKey => 1,
            Self::NoKeysSet => 2,
            Self::TooManyRequests(_) => 3,
            Self::TooManyConnections => 4,
            Self::ConnectionLimitReached => 5,
            Self::NotDirect(_) => 6,
        }]
    }
}
