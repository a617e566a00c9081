//! Ownership of objects.

use kube::api::ObjectMeta;

/// Whether the resource with this UID controls the object with this metadata.
#[must_use]
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == uid)
}
