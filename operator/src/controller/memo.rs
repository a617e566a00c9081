//! The state of each child after its last write.

use super::error::Error;
use super::kind::Kind;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Mutex;

/// Kind, namespace and name of a child.
type Key = (Kind, String, String);

/// A digest of the desired and the observed state of each child after its last write.
#[derive(Debug, Default)]
pub struct Memo {
    last: Mutex<HashMap<Key, Left>>,
}

/// A digest of the desired and the observed state, which needs a hundredth of their memory.
type Left = [u8; 16];

fn left(body: &Value, fingerprint: &str) -> Left {
    let mut left = Left::default();
    left.copy_from_slice(&Sha256::digest(format!("{fingerprint} {body}"))[..16]);
    left
}

impl Memo {
    pub(super) fn is_as_left(
        &self,
        key: &Key,
        body: &Value,
        fingerprint: &str,
    ) -> Result<bool, Error> {
        let now = left(body, fingerprint);
        let last = self.last.lock().map_err(|_| Error::Poisoned)?;
        Ok(last.get(key) == Some(&now))
    }

    pub(super) fn note(&self, key: Key, body: &Value, fingerprint: &str) -> Result<(), Error> {
        let now = left(body, fingerprint);
        let mut last = self.last.lock().map_err(|_| Error::Poisoned)?;
        last.insert(key, now);
        Ok(())
    }

    /// Drops children for which `is_there` is false.
    pub(super) fn keep(&self, is_there: impl Fn(Kind, &str, &str) -> bool) {
        if let Ok(mut last) = self.last.lock() {
            last.retain(|(kind, namespace, name), _| is_there(*kind, namespace, name));
        }
    }
}
