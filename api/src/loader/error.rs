//! Why there is no history.

use crate::store::Reason;

/// Why a history could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// As many users wait already as may.
    #[error("too many users wait for the database")]
    Overloaded,
    /// No answer within the query timeout.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The store failed.
    #[error("the database is unavailable: {}", .0.as_str())]
    Unavailable(Reason),
}
