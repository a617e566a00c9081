//! Whose an object is.

use kube::api::ObjectMeta;

/// Whether the resource with that UID controls the object of that metadata.
#[must_use]
pub fn is_controlled_by(metadata: &ObjectMeta, uid: &str) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == uid)
}
