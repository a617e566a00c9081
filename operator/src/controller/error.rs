//! Why a reconcile ends early.

use crate::supervise::Panic;
use std::time::Duration;

/// Time limit of a reconcile.
pub(super) const DEADLINE: Duration = Duration::from_mins(1);

/// Why a reconcile ended early. It is retried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read from the API server failed.
    #[error("failed to read {what}: {}", answer(source))]
    Read {
        /// What was read.
        what: &'static str,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server did not accept a write.
    #[error("failed to write {kind} {name}: {}", answer(source))]
    Write {
        /// Kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A Job could not change the database user.
    #[error("failed to change the database user: {0}")]
    Database(String),
    /// The operator built an invalid object.
    #[error("failed to build an object")]
    Object(#[source] serde_json::Error),
    /// The key of the digests was removed from its Secret. Without a key, anyone could compute the digests.
    #[error(
        "the Secret {0} has no value for the key \"key\": delete it, and the operator creates another (pods are replaced once)"
    )]
    NoDigestKey(String),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: {0}")]
    Random(String),
    /// Another operator is the leader.
    #[error("another operator leads, or the Lease could not be renewed")]
    NotLeading,
    /// It timed out.
    #[error("the reconcile was not finished within {} s", DEADLINE.as_secs())]
    TimedOut,
    /// A defect of the operator, triggered by this resource.
    #[error("the reconcile {0}")]
    Panicked(#[source] Panic),
    /// Another task panicked in the middle of a change.
    #[error("a lock is poisoned")]
    Poisoned,
}

/// The message of the API server's answer, without its envelope.
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

    /// Whether the object itself is invalid, independent of the state of the cluster.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 422))
    }

    /// Whether another write came first. This is normal: the reconcile is repeated.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Write { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 409))
    }
}
