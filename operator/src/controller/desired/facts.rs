//! What children depend on beside the resource.

/// What of the cluster decides how children look, beside the resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Digest of the data of all Secrets that pods read only when they start.
    pub secrets_digest: String,
    /// Digest of the Secret of a managed Redis; empty without one.
    pub redis_digest: String,
    /// Digest of the Secrets that the migration uses.
    pub migration_digest: String,
}
