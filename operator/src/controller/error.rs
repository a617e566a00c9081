//! Why a reconcile ends early.

use crate::supervise::Panic;
use std::time::Duration;

/// Longest time for a reconcile.
pub(super) const DEADLINE: Duration = Duration::from_mins(1);

/// Why a reconcile ended early. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not answer a question.
    #[error("failed to read {what}: {}", answer(source))]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not take a write.
    #[error("failed to write {kind} {name}: {}", answer(source))]
    Write {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A Job could not change the database user.
    #[error("failed to change the database user: {0}")]
    Database(String),
    /// An object that we made is none.
    #[error("failed to make an object")]
    Object(#[source] serde_json::Error),
    /// The key of the digests was taken out of its Secret: digests without one could be computed by anybody.
    #[error(
        "the Secret {0} has no value for the key \"key\": delete it, and the operator creates another (pods are replaced once)"
    )]
    NoDigestKey(String),
    /// No random bytes.
    #[error("the operating system gives no random bytes: {0}")]
    Random(String),
    /// Another operator acts.
    #[error("another operator acts, or the Lease could not be renewed")]
    NotLeading,
    /// It took too long.
    #[error("not done within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// A defect of the operator, met by this resource.
    #[error("the reconcile {0}")]
    Panicked(#[source] Panic),
    /// Another task ended in the middle of a change.
    #[error("a lock is poisoned")]
    Poisoned,
}

/// What the API server said, without the form it said it in.
fn answer(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}

impl Error {
    pub(super) fn read(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Read {
            what,
            source: Box::new(source),
        }
    }

    pub(super) fn write(kind: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Self {
        let name = name.to_owned();
        move |source| Self::Write {
            kind,
            name,
            source: Box::new(source),
        }
    }

    /// Whether the API server refuses what was written whatever else is there.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 422))
    }

    /// Whether somebody else was faster: nothing is wrong, and it is to be looked at again.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }
}
