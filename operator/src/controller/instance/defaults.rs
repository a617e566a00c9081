//! Values for fields that a resource leaves unset, set by the operator's arguments.

use crate::images::AllowedImages;

/// Values for fields that a resource leaves unset, and limits for all resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Image of the API.
    pub api_image: String,
    /// Image of managed Redis servers.
    pub redis_image: String,
    /// Images that may run.
    pub allowed_images: AllowedImages,
    /// Whether pods state their user, group and `fsGroup`.
    pub fixed_user_ids: bool,
    /// Namespace of the operator's pods, which query the API's pods.
    pub operator_namespace: String,
}
