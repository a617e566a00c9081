//! Names of everything the shared cache keeps in Redis.
//!
//! ```text
//! {reckon:IDENTITY}:REPLICATION:epoch              what an invalidation of everything changes
//! {reckon:IDENTITY}:REPLICATION:variants           which variants of entries there are
//! {reckon:IDENTITY}:REPLICATION:VARIANT:e:USER     an entry
//! {reckon:IDENTITY}:REPLICATION:VARIANT:l:USER     the lease of whoever may fill it
//! {reckon:IDENTITY}:invalidations                  the channel
//! ```
//!
//! The identity keeps services with different databases apart, the variant keeps programs apart that would make other
//! entries of the same data. REPLICATION is the server's `master_replid`, new after each restart and each promotion of a
//! replica: a server that lost writes, or brought old ones back, is another one.

use crate::model::UserId;
use reckon_contract::tuning::Recommendation;
use std::fmt;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Raised when entries are written in another form.
const ENTRY_FORM: u32 = 1;

/// What processes must agree on to share entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    name: String,
    variant: String,
}

impl Identity {
    /// The service called `name`, or else the one over the database at `store`, with these recommendations.
    ///
    /// # Panics
    /// Never: plain settings always serialize.
    #[must_use]
    pub fn new(name: Option<&str>, store: &str, recommendation: &Recommendation) -> Self {
        let settings = serde_json::to_vec(recommendation).expect("plain settings always serialize");
        Self {
            name: name.map_or_else(
                || format!("{:032x}", xxh3_128(store.as_bytes())),
                str::to_owned,
            ),
            variant: format!("{ENTRY_FORM}-{:016x}", xxh3_64(&settings)),
        }
    }

    pub(super) fn channel(&self) -> String {
        format!("{{reckon:{}}}:invalidations", self.name)
    }

    pub(super) fn on(&self, replication: &str) -> Keys {
        Keys {
            prefix: format!("{{reckon:{}}}:{replication}:", self.name),
            variant: self.variant.clone(),
        }
    }
}

/// The keys on one server.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What all of them begin with.
    pub prefix: String,
    /// The variant of this process.
    pub variant: String,
}

impl Keys {
    pub fn epoch(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    pub fn variants(&self) -> String {
        format!("{}variants", self.prefix)
    }

    pub fn entry(&self, user: UserId) -> String {
        self.of("e", user)
    }

    pub fn lease(&self, user: UserId) -> String {
        self.of("l", user)
    }

    fn of(&self, kind: impl fmt::Display, user: UserId) -> String {
        format!("{}{}:{kind}:{user}", self.prefix, self.variant)
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;
    use crate::model::UserId;
    use reckon_contract::tuning::Recommendation;

    #[test]
    fn services_with_other_databases_names_or_settings_have_other_keys() {
        let standard = Recommendation::default();
        let longer = Recommendation {
            history_length: 101,
            ..Recommendation::default()
        };
        let key = |name, store, settings| {
            Identity::new(name, store, settings)
                .on("r")
                .entry(UserId(1))
        };
        let keys = [
            key(None, "db:3306/shop", &standard),
            key(None, "db:3306/other", &standard),
            key(Some("uid"), "db:3306/shop", &standard),
            key(None, "db:3306/shop", &longer),
        ];
        for (index, one) in keys.iter().enumerate() {
            assert!(keys[index + 1..].iter().all(|other| one != other));
        }
        assert_eq!(
            keys[2],
            "{reckon:uid}:r:1-".to_owned() + keys[2].split("1-").nth(1).unwrap()
        );
    }
}
