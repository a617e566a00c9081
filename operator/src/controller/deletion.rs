//! Deleting one object and no other of its name.

use super::error::Error;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};

/// Deletes the object of that UID and no other of its name.
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

/// Whether the object was deleted; `false`: it is another one, or there is none.
///
/// # Errors
/// The API server did not do it.
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
