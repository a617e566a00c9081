//! Why a load failed.

use crate::store::Reason;

/// Why a history could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The queue is full.
    #[error("too many users wait for the database")]
    Overloaded,
    /// No answer within the query timeout.
    #[error("the database did not answer in time")]
    TimedOut,
    /// The store failed.
    #[error("the database is unavailable: {}", .0.as_str())]
    Unavailable(Reason),
}
