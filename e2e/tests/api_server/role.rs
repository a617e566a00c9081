//! The operator's identity in this tier: a `ServiceAccount` with the roles of `k8s/install.yaml`, and no more.

use crate::fixture::SOON;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject,
};
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use reckon_harness::eventually::eventually;
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Namespace of the operator's `ServiceAccount`.
const NAMESPACE: &str = "reckon-system";
/// The `ServiceAccount`, and the role for all namespaces.
const NAME: &str = "reckon-operator";
/// The role for the Lease.
const LEADER: &str = "reckon-operator-leader";
/// How the API server names the operator.
pub const USER: &str = "system:serviceaccount:reckon-system:reckon-operator";

/// The rules of the role for all namespaces.
pub fn rules() -> Vec<PolicyRule> {
    installed::<ClusterRole>("ClusterRole", NAME)
        .rules
        .unwrap_or_default()
}

/// The rules of the role for the Lease. Each operator of this tier has a Lease with a name of its own, in `leases`.
pub fn leader_rules() -> Vec<PolicyRule> {
    let rules = installed::<Role>("Role", LEADER).rules.unwrap_or_default();
    let any_name = |rule| PolicyRule {
        resource_names: None,
        ..rule
    };
    rules.into_iter().map(any_name).collect()
}

/// Creates the identity and its roles; returns a token.
pub async fn install(client: &Client, leases: &str) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    apply(&namespaces, NAMESPACE, json!({})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    apply(&accounts, NAME, json!({})).await;
    let reference = |kind: &str, name: &str| {
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
            "subjects": [Subject {
                kind: "ServiceAccount".to_owned(),
                name: NAME.to_owned(),
                namespace: Some(NAMESPACE.to_owned()),
                ..Subject::default()
            }],
        })
    };
    let roles: Api<ClusterRole> = Api::all(client.clone());
    apply(&roles, NAME, json!({"rules": rules()})).await;
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    apply(&bindings, NAME, reference("ClusterRole", NAME)).await;
    let roles: Api<Role> = Api::namespaced(client.clone(), leases);
    apply(&roles, LEADER, json!({"rules": leader_rules()})).await;
    let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), leases);
    apply(&bindings, LEADER, reference("Role", LEADER)).await;

    allowed(client, "", "reckon.dev", "recommendationservices").await;
    allowed(client, leases, "coordination.k8s.io", "leases").await;
    let request = json!({"spec": {"audiences": [], "expirationSeconds": 86400}});
    let request: TokenRequest = serde_json::from_value(request).unwrap();
    let issued = accounts
        .create_token_request(NAME, &PostParams::default(), &request)
        .await
        .unwrap();
    issued.status.unwrap().token
}

/// Waits until the API server uses a new role, in which these may be created or listed.
async fn allowed(client: &Client, namespace: &str, group: &str, resource: &str) {
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let verb = if namespace.is_empty() {
        "list"
    } else {
        "create"
    };
    let attributes =
        json!({"namespace": namespace, "group": group, "resource": resource, "verb": verb});
    let review = json!({"spec": {"user": USER, "resourceAttributes": attributes}});
    let review: SubjectAccessReview = serde_json::from_value(review).unwrap();
    eventually(SOON, async || {
        let answered = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answered.status.is_some_and(|status| status.allowed)
    })
    .await;
}

/// Applies an object, whose type is in the address.
async fn apply<K>(api: &Api<K>, name: &str, mut body: Value)
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    body["apiVersion"] = json!(K::api_version(&()));
    body["kind"] = json!(K::kind(&()));
    body["metadata"] = json!({"name": name});
    let parameters = PatchParams::apply("installation").force();
    api.patch(name, &parameters, &Patch::Apply(&body))
        .await
        .unwrap();
}

/// An object of `k8s/install.yaml`.
fn installed<K: DeserializeOwned>(kind: &str, name: &str) -> K {
    let documents = include_str!("../../../k8s/install.yaml");
    let documents = serde_yaml::Deserializer::from_str(documents);
    let mut objects = documents.map(|document| Value::deserialize(document).unwrap());
    let found = objects.find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    serde_json::from_value(found.unwrap_or_else(|| panic!("no {kind} {name}"))).unwrap()
}
