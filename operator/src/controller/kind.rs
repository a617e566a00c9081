//! The kinds of children, and the parts of them that are kept in memory.

use super::desired::deployment;
use kube::api::{ApiResource, DynamicObject, ObjectMeta};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A kind of child.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Identity of the pods.
    ServiceAccount,
    /// Tuning.
    ConfigMap,
    /// The API, and a managed Redis.
    Deployment,
    /// The Services of the pods.
    Service,
    /// The autoscaler.
    HorizontalPodAutoscaler,
    /// The budget for voluntary disruptions.
    PodDisruptionBudget,
    /// Which clients may connect.
    NetworkPolicy,
    /// The migration.
    Job,
    /// The training.
    CronJob,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::Deployment,
        Self::Service,
        Self::HorizontalPodAutoscaler,
        Self::PodDisruptionBudget,
        Self::NetworkPolicy,
        Self::Job,
        Self::CronJob,
    ];

    /// Name of the kind.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.names().2
    }

    /// Group, version, kind and plural.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::HorizontalPodAutoscaler => (
                "autoscaling",
                "v2",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
            ),
            Self::PodDisruptionBudget => (
                "policy",
                "v1",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
            ),
            Self::NetworkPolicy => (
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
            ),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::CronJob => ("batch", "v1", "CronJob", "cronjobs"),
        }
    }
}

/// Key under which [`slim`] keeps the fingerprint.
const FINGERPRINT: &str = "fingerprint";
/// Key under which [`slim`] keeps the digest of a Deployment's pod template.
const TEMPLATE: &str = "template";

/// Replaces the unneeded parts of an object by a fingerprint of everything that can be edited. The fingerprint excludes the
/// status, the API server's counters, and the fields that controllers write in normal operation.
pub fn slim(kind: Kind, object: &mut DynamicObject) {
    object.metadata.managed_fields = None;
    let fingerprint = fingerprint(kind, object);
    let mut kept = json!({FINGERPRINT: fingerprint});
    match kind {
        Kind::Deployment => {
            kept[TEMPLATE] = json!(digest_of(&object.data["spec"]["template"]));
            kept["spec"] = object.data["spec"].take();
            let pod = &mut kept["spec"]["template"]["spec"];
            *pod = slim_pod_spec(pod);
            kept["status"] = object.data["status"].take();
        }
        Kind::HorizontalPodAutoscaler | Kind::PodDisruptionBudget => {
            kept["spec"] = object.data["spec"].take();
        }
        Kind::Job | Kind::CronJob => kept["status"] = object.data["status"].take(),
        _ => {}
    }
    object.data = kept;
    let meta = &mut object.metadata;
    keep_own_annotations(meta);
    meta.labels = None;
    meta.creation_timestamp = None;
    if let Some(owners) = &mut meta.owner_references {
        owners.retain(|owner| owner.controller == Some(true));
    }
}

/// The parts of a pod template that a plan reads: the image that runs, and the grace period as the API server has it.
fn slim_pod_spec(pod: &Value) -> Value {
    json!({
        "containers": [{"image": pod["containers"][0]["image"]}],
        "terminationGracePeriodSeconds": pod["terminationGracePeriodSeconds"],
    })
}

/// The digest of a pod template as it is on the API server.
#[must_use]
pub fn template_of(deployment: &DynamicObject) -> &str {
    deployment.data[TEMPLATE].as_str().unwrap_or_default()
}

/// Drops annotations that are not the operator's.
pub fn keep_own_annotations(meta: &mut ObjectMeta) {
    let mut annotations = meta.annotations.take().unwrap_or_default();
    annotations.retain(|name, _| name.starts_with("reckon.dev/"));
    meta.annotations = Some(annotations).filter(|annotations| !annotations.is_empty());
}

/// The fingerprint that [`slim`] left.
#[must_use]
pub fn fingerprint_of(object: &DynamicObject) -> &str {
    object.data[FINGERPRINT].as_str().unwrap_or_default()
}

fn fingerprint(kind: Kind, object: &DynamicObject) -> String {
    let meta = &object.metadata;
    let mut annotations = json!(meta.annotations);
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.retain(|name, _| {
            !name.starts_with("deployment.kubernetes.io/")
                && (kind != Kind::Deployment
                    || !name.starts_with("reckon.dev/")
                    || name == deployment::TEMPLATE)
        });
    }
    let mut data = object.data.clone();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("status");
    }
    if kind == Kind::Deployment
        && object
            .metadata
            .annotations
            .as_ref()
            .is_some_and(|annotations| annotations.contains_key(deployment::TEMPLATE))
    {
        // The autoscaler owns these, or plans write them separately.
        if let Some(spec) = data["spec"].as_object_mut() {
            for field in ["replicas", "paused", "minReadySeconds"] {
                spec.remove(field);
            }
        }
    }
    digest_of(&json!([
        meta.labels,
        annotations,
        meta.owner_references,
        data
    ]))
}

fn digest_of(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string());
    digest[..8]
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests;
