//! The owner of a database, and the names of its accounts.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};

/// The resource that a database belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The cluster: the UID of its namespace `kube-system`.
    pub cluster: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's UID. It is recorded and not compared: a resource that is deleted and created again keeps its database.
    pub uid: String,
}

impl Owner {
    /// The account that reads: `reckon_` and 24 hexadecimal digits, 31 characters (MySQL allows 32) that need no quoting.
    #[must_use]
    pub fn user_name(&self) -> String {
        format!("reckon_{}", self.digits())
    }

    /// The account that migrates: `reckonm_` and the same digits, 32 characters.
    #[must_use]
    pub fn migration_user_name(&self) -> String {
        format!("reckonm_{}", self.digits())
    }

    /// The account that trains: `reckont_` and the same digits, 32 characters.
    #[must_use]
    pub fn training_user_name(&self) -> String {
        format!("reckont_{}", self.digits())
    }

    /// Whether both have the same cluster, namespace and name; their UIDs may differ.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.namespace == other.namespace
            && self.name == other.name
    }

    /// 96 bits of a SHA-256 over cluster, namespace and name, each with its length, so that no two triples have the same
    /// input.
    fn digits(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.cluster, &self.namespace, &self.name] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        digest[..12].iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        })
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "RecommendationService {}/{} of cluster {}",
            self.namespace, self.name, self.cluster
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Owner;

    fn owner(cluster: &str, namespace: &str, name: &str) -> Owner {
        Owner {
            cluster: cluster.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: "1111".to_owned(),
        }
    }

    #[test]
    fn a_user_name_never_changes() {
        let owner = owner("6a1f9d0e-7f0f-4b57-9a54-0a6d2f6f5f11", "shop", "reckon");
        assert_eq!(owner.user_name(), "reckon_8f5c875f4834f78a04953513");
        assert_eq!(
            owner.migration_user_name(),
            "reckonm_8f5c875f4834f78a04953513"
        );
        assert_eq!(owner.user_name().len(), 31);
        assert_eq!(owner.migration_user_name().len(), 32);
        assert_eq!(
            owner.training_user_name(),
            "reckont_8f5c875f4834f78a04953513"
        );
    }

    #[test]
    fn different_resources_have_different_user_names() {
        let name = |one, two, three| owner(one, two, three).user_name();
        assert_ne!(name("c", "a", "bc"), name("c", "ab", "c"));
        assert_ne!(name("c", "a", "b"), name("d", "a", "b"));
        assert_ne!(name("ca", "", "b"), name("c", "a", "b"));
    }
}
