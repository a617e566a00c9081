//! Why events are not stored, or a user is not erased.

use crate::store::Reason;
use crate::store::write::{Rejected, Unusable, WriteError};

/// Why the writer accepts no requests at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// There was no connection yet.
    Starting,
    /// The database, or the connection for events, is unavailable.
    Store(Reason),
    /// A table or a privilege must be changed first.
    Unusable(Unusable),
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing is stored: the writer is unavailable.
    Unavailable(Unavailable),
    /// Nothing is stored: too many requests are waiting.
    Overloaded,
    /// Nothing is stored: other sessions held locks, or the request waited for too long.
    Busy,
    /// Nothing is stored, because the database rejects an event.
    Rejected(Rejected),
    /// The outcome is unknown: either the whole request is stored or nothing, or only a part of the user's rows is
    /// erased.
    Unknown,
    /// The request is done in the database, and the shared cache did not acknowledge the invalidation.
    Unconfirmed,
}

impl From<&WriteError> for Failure {
    fn from(error: &WriteError) -> Self {
        match error {
            WriteError::Busy(_) => Self::Busy,
            WriteError::Rejected(rejected, _) => Self::Rejected(*rejected),
            WriteError::Unusable(unusable, _) => {
                Self::Unavailable(Unavailable::Unusable(*unusable))
            }
            WriteError::Failed(error) => Self::Unavailable(Unavailable::Store(error.reason)),
            WriteError::Unknown(_) => Self::Unknown,
        }
    }
}
