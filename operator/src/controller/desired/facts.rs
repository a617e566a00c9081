//! The inputs of children other than the resource.

/// The facts about the cluster that determine the children, besides the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Digest of the data of all Secrets that pods read only at startup.
    pub secrets_digest: String,
    /// Digest of the Secret of a managed Redis; empty without one.
    pub redis_digest: String,
    /// Digest of the Secrets that the migration uses.
    pub migration_digest: String,
}
