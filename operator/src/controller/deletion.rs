//! Deletion of one object, and of no other with its name.

use super::error::Error;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};

/// Restricts a deletion to the object with this UID, so that another object with the same name is not deleted.
#[must_use]
pub fn only(uid: Option<String>) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid,
            resource_version: None,
        }),
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    }
}

/// Whether the object was deleted; `false`: another object has the name, or no object has it.
///
/// # Errors
/// The API server did not accept the deletion.
pub fn is_deleted<T>(
    deleted: kube::Result<T>,
    kind: &'static str,
    name: &str,
) -> Result<bool, Error> {
    match deleted {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(error) => Err(Error::write(kind, name)(error)),
    }
}
