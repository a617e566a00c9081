//! The state of Secrets, as far as it is known.

use super::writes::Writes;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Annotation of the operator's own Secret for the database: `MAX_USER_CONNECTIONS` as it was last set.
pub const FENCE: &str = "reckon.dev/fence";
/// Annotation of the same Secret: the tables that the database user may write to, in the form of `Writes`.
pub const WRITES: &str = "reckon.dev/writes";
/// Annotation of the same Secret: the progress of its password rotation.
pub const ROTATION: &str = "reckon.dev/rotation";
/// Annotation of the same Secret: the value of the resource's annotation that requested the last rotation.
pub const ROTATED_FOR: &str = "reckon.dev/rotated-for";

/// The state of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// It does not exist.
    Missing,
    /// It has the name of a Secret that the operator creates, but this resource does not control it. So it is neither
    /// read nor written.
    Foreign,
    /// Keys are missing or empty.
    Incomplete {
        /// Which keys.
        keys: Vec<&'static str>,
    },
    /// It has all required keys.
    Complete {
        /// A keyed digest of the values: it changes with them, but does not reveal them.
        digest: String,
        /// A digest without a key, as in earlier versions: see [`unkeyed`](super::observe::secrets::unkeyed).
        unkeyed: String,
        /// Changes whenever the Secret changes.
        version: String,
        /// The operator's annotations.
        annotations: BTreeMap<String, String>,
    },
}

impl SecretState {
    /// The digest of the values; empty if there are none.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self {
            Self::Complete { digest, .. } => digest,
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => "",
        }
    }

    /// The unkeyed digest of the values, as in pods of earlier versions, which had no keys.
    #[must_use]
    pub fn unkeyed(&self) -> &str {
        match self {
            Self::Complete { unkeyed, .. } => unkeyed,
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => "",
        }
    }

    /// An annotation of the operator.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        match self {
            Self::Complete { annotations, .. } => annotations.get(name).map(String::as_str),
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => None,
        }
    }

    /// The tables that the database user may write to.
    #[must_use]
    pub fn writes(&self) -> Writes {
        let recorded = self.annotation(WRITES);
        let writes = recorded.and_then(|json| serde_json::from_str(json).ok());
        writes.unwrap_or_default()
    }

    /// `MAX_USER_CONNECTIONS` as it was last set.
    #[must_use]
    pub fn fence(&self) -> Option<u32> {
        self.annotation(FENCE)?.parse().ok()
    }
}

type Known = HashMap<(String, String), (String, SecretState)>;

/// The key of a resource's digests, and the version at which it was read.
#[derive(Clone, Debug, Default)]
pub(super) struct DigestKey {
    pub(super) version: String,
    pub(super) key: Vec<u8>,
}

type Keys = HashMap<(String, String), DigestKey>;

/// States by namespace and name, each with the version at which it was read.
#[derive(Debug, Default)]
pub struct SecretCache {
    pub(super) known: Mutex<Known>,
    pub(super) keys: Mutex<Keys>,
}

impl SecretCache {
    /// Drops Secrets for which `is_there` is false.
    pub fn keep(&self, is_there: impl Fn(&str, &str) -> bool) {
        if let Ok(mut known) = self.known.lock() {
            known.retain(|(namespace, key), _| {
                let name = key.split(' ').next().unwrap_or_default();
                is_there(namespace, name)
            });
        }
        if let Ok(mut keys) = self.keys.lock() {
            keys.retain(|(namespace, name), _| is_there(namespace, name));
        }
    }
}
