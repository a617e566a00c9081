//! Why a request or a connection is turned away at the door.

use crate::rate_limit::Exceeded;

/// Why a request or a connection is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
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
}

impl Refusal {
    /// Every label, in the order of [`Self::label`].
    pub const LABELS: [&str; 5] = [
        "no_key",
        "wrong_key",
        "no_keys_set",
        "requests",
        "connections",
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
        }]
    }
}
