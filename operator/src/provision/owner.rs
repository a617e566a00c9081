//! For which resource a database was made, and what its account is called.

use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};

/// The resource that a database belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster: the UID of its namespace `kube-system`.
    pub cluster: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// The resource's UID. It is noted and not compared: a resource that is deleted and made again finds its database.
    pub uid: String,
}

impl Owner {
    /// The account of this owner; see [`user_name`].
    #[must_use]
    pub fn user_name(&self) -> String {
        user_name(&self.cluster, &self.namespace, &self.name)
    }

    /// Whether both are the same place for a resource, whatever resource is there.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.namespace == other.namespace
            && self.name == other.name
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

/// The account's name: `reckon_` and 24 hexadecimal digits, 31 characters (MySQL takes 32) that need no quoting.
///
/// 96 bits of a SHA-256 over the three, each with its length, so that no two triples are the same text.
#[must_use]
pub fn user_name(cluster: &str, namespace: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in [cluster, namespace, name] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let mut user = "reckon_".to_owned();
    for byte in &digest[..12] {
        write!(user, "{byte:02x}").expect("a String takes any text");
    }
    user
}

#[cfg(test)]
mod tests {
    use super::user_name;

    #[test]
    fn a_user_name_never_changes() {
        let cluster = "6a1f9d0e-7f0f-4b57-9a54-0a6d2f6f5f11";
        insta::assert_snapshot!(user_name(cluster, "shop", "reckon"), @"reckon_8f5c875f4834f78a04953513");
        assert_eq!(user_name(cluster, "shop", "reckon").len(), 31);
    }

    #[test]
    fn no_two_places_share_a_user_name() {
        assert_ne!(user_name("c", "a", "bc"), user_name("c", "ab", "c"));
        assert_ne!(user_name("c", "a", "b"), user_name("d", "a", "b"));
        assert_ne!(user_name("ca", "", "b"), user_name("c", "a", "b"));
    }
}
