//! Why a request failed, for the log: responses contain less detail.

use crate::events::{self, Unavailable};
use crate::{loader::LoadError, recommend::Failure};
use std::fmt;

/// Why a response has a status of 500 or more. Travels from the handler to the access log as an extension of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no recommendation.
    Failed(Failure),
    /// Too many requests were in flight.
    InFlightLimit,
    /// The shared cache did not acknowledge an invalidation.
    Unacknowledged,
    /// Events were not stored, or a user was not erased.
    NotWritten(events::Failure),
    /// The handler panicked; the panic has its own log line.
    Panicked,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(Failure::Load(LoadError::Overloaded)) => formatter.write_str("queue full"),
            Self::Failed(Failure::Load(LoadError::TimedOut)) => {
                formatter.write_str("database timeout")
            }
            Self::Failed(Failure::Load(LoadError::Unavailable(reason))) => {
                write!(formatter, "database unavailable: {}", reason.as_str())
            }
            Self::Failed(Failure::DeadlinePassed) => formatter.write_str("deadline passed"),
            Self::Failed(Failure::Defect) => formatter.write_str("defect"),
            Self::InFlightLimit => formatter.write_str("too many requests in flight"),
            Self::Unacknowledged => formatter.write_str("invalidation not acknowledged"),
            Self::NotWritten(failure) => not_written(*failure, formatter),
            Self::Panicked => formatter.write_str("panic"),
        }
    }
}

fn not_written(failure: events::Failure, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    match failure {
        events::Failure::Unavailable(Unavailable::Starting) => {
            formatter.write_str("not connected yet")
        }
        events::Failure::Unavailable(Unavailable::Store(reason)) => {
            write!(formatter, "database unavailable: {}", reason.as_str())
        }
        events::Failure::Unavailable(Unavailable::Unusable(unusable)) => {
            write!(formatter, "{unusable}")
        }
        events::Failure::Overloaded => formatter.write_str("event queue full"),
        events::Failure::Busy => formatter.write_str("locks of other sessions"),
        events::Failure::Rejected(_) => formatter.write_str("rejected by the database"),
        events::Failure::Unknown => formatter.write_str("write not confirmed"),
        events::Failure::Unconfirmed => formatter.write_str("invalidation not acknowledged"),
    }
}
