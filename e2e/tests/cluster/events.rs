//! Events of a service whose database user the operator created: rejected, stored, erased, and rejected again.

use super::{ROLLOUT, SOON};
use k8s_openapi::api::core::v1::Secret;
use reckon_e2e::cluster::Cluster;
use serde_json::Value;

const USER: &str = "910000";
const CATEGORY: &str = "Lighthouses";
/// `mysql.tables_priv` of the user with which the pods log in.
const GRANTS: &str = "SELECT COUNT(*) FROM mysql.tables_priv WHERE User LIKE 'reckon\\_%' AND Table_priv LIKE '%Insert%'";

pub fn stored_and_erased(cluster: &Cluster) {
    assert_eq!(post(cluster).0, 403);
    assert_eq!(cluster.mysql(GRANTS).trim(), "0");

    cluster.patch(r#"{"spec":{"events":{"enabled":true}}}"#);
    cluster.settled(2, ROLLOUT);
    assert_eq!(cluster.mysql(GRANTS).trim(), "3");
    // A Service leads to a new pod a moment after the pod is ready, and to a former one a moment after it has ended.
    cluster.eventually(SOON, "the event is stored", || post(cluster).0 == 200);
    cluster.eventually(SOON, "every pod recommends its category", || {
        (0..8).all(|_| recommends(cluster))
    });
    let (code, body) = send(cluster, &["-X", "DELETE"], &format!("/users/{USER}"));
    assert_eq!(code, 200, "{body}");
    let erased: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(erased["purchases"], 1, "{body}");
    cluster.eventually(SOON, "no pod recommends its category", || {
        (0..8).all(|_| !recommends(cluster))
    });

    cluster.patch(r#"{"spec":{"events":null}}"#);
    cluster.settled(2, ROLLOUT);
    cluster.eventually(SOON, "the privileges are revoked", || {
        cluster.mysql(GRANTS).trim() == "0"
    });
    cluster.eventually(SOON, "events are rejected", || post(cluster).0 == 403);
    assert_eq!(cluster.get("/recommend/1").0, 200);
}

fn post(cluster: &Cluster) -> (u16, String) {
    let event = format!(
        r#"{{"id": "order-1", "type": "purchase", "user_id": {USER}, "category": "{CATEGORY}", "time": "2026-02-01T00:00:00Z"}}"#
    );
    send(cluster, &["-d", &event], "/events")
}

/// Status code and body of a request to the Service `shop` with a key.
fn send(cluster: &Cluster, arguments: &[&str], path: &str) -> (u16, String) {
    let secret: Secret = serde_json::from_value(cluster.object("secret shop-api-keys")).unwrap();
    let keys = String::from_utf8(secret.data.unwrap()["api-keys"].0.clone()).unwrap();
    let key = format!("Authorization: Bearer {}", keys.lines().next().unwrap());
    let url = format!("http://{}{path}", cluster.address("shop"));
    let curl = ["curl", "-s", "-m", "8", "-w", "\n%{http_code}", "-H", &key];
    let output = cluster.inside(&[&curl, arguments, &[&url]].concat(), "");
    let output = output.unwrap_or_default();
    let (body, code) = output.rsplit_once('\n').unwrap_or(("", "0"));
    (code.parse().unwrap_or(0), body.to_owned())
}

fn recommends(cluster: &Cluster) -> bool {
    let (_, body) = cluster.get(&format!("/recommend/{USER}"));
    body.contains(CATEGORY)
}
