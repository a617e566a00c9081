//! What is known of Secrets.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// Annotation of the operator's own Secret for the database: `MAX_USER_CONNECTIONS` as it was last set.
pub const FENCE: &str = "reckon.dev/fence";
/// Annotation of the same: how far the exchange of its password is.
pub const ROTATION: &str = "reckon.dev/rotation";
/// Annotation of the same: the value of the resource's annotation that asked for the last exchange.
pub const ROTATED_FOR: &str = "reckon.dev/rotated-for";

/// What is known of a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretState {
    /// There is none.
    Missing,
    /// It has the name of one that the operator makes, and this resource does not control it: it is neither read nor written.
    Foreign,
    /// It lacks keys, or they are empty.
    Incomplete {
        /// Which.
        keys: Vec<&'static str>,
    },
    /// It has all that is needed.
    Complete {
        /// Tells a change of the values, and not the values: see [`keyed`](super::observe::secrets::keyed).
        digest: String,
        /// The same as it was before there were keys: see [`unkeyed`](super::observe::secrets::unkeyed).
        unkeyed: String,
        /// Changes with any change.
        version: String,
        /// Those of the operator.
        annotations: BTreeMap<String, String>,
    },
}

impl SecretState {
    /// Names the values; empty where there are none.
    #[must_use]
    pub fn digest(&self) -> &str {
        match self {
            Self::Complete { digest, .. } => digest,
            Self::Missing | Self::Foreign | Self::Incomplete { .. } => "",
        }
    }

    /// Names the values as pods do that were made before there were keys.
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

    /// `MAX_USER_CONNECTIONS` as it was last set.
    #[must_use]
    pub fn fence(&self) -> Option<u32> {
        self.annotation(FENCE)?.parse().ok()
    }
}

type Known = HashMap<(String, String), (String, SecretState)>;

/// The key of a resource's digests, and the version that it was read at.
#[derive(Clone, Debug, Default)]
pub(super) struct DigestKey {
    pub(super) version: String,
    pub(super) key: Vec<u8>,
}

type Keys = HashMap<(String, String), DigestKey>;

/// States by namespace and name, each with the version that it was read at.
#[derive(Debug, Default)]
pub struct SecretCache {
    pub(super) known: Mutex<Known>,
    pub(super) keys: Mutex<Keys>,
}

impl SecretCache {
    /// Forgets Secrets that `is_there` does not know.
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
