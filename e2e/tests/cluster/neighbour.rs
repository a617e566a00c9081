//! A second service in the namespace, on the same database, with a user and a Redis that exist.

use super::cluster::{Cluster, conditions_text};
use super::load::Load;
use super::{ROLLOUT, SOON, answers_the_golden_vectors};

const USER: &str =
    "CREATE USER annex IDENTIFIED BY 'first-of-two'; GRANT SELECT ON shop.* TO annex;";

pub fn second_service(cluster: &Cluster) {
    cluster.mysql(USER);
    cluster.apply(include_str!("neighbour.yaml"));
    cluster.settled_of("annex", 2, ROLLOUT);
    cluster.wait_for("annex", "DatabaseReachable=True ", SOON);
    cluster.wait_for("annex", "CacheReachable=True ", SOON);
    answers_the_golden_vectors(cluster, "annex");

    // As a careful person does it: both passwords are good until the pods have changed over.
    let load = Load::start(cluster, "annex", 100);
    cluster.mysql("ALTER USER annex IDENTIFIED BY 'second-of-two' RETAIN CURRENT PASSWORD");
    password(cluster, "second-of-two");
    rolled(cluster);
    cluster.mysql("ALTER USER annex DISCARD OLD PASSWORD");
    load.stop().assert_all_answered(1000);
    assert_eq!(cluster.get_from("annex", "/recommend/4713").0, 200);

    // And a careless one: the pods with the good password go on.
    password(cluster, "a-wrong-one");
    cluster.wait_for("annex", "Degraded=True AccessDenied", SOON);
    assert_eq!(cluster.get_from("annex", "/recommend/4714").0, 200);
    assert!(conditions_text(&cluster.object("recsvc annex")).contains("Ready=True"));
    password(cluster, "second-of-two");
    cluster.settled_of("annex", 2, ROLLOUT);
    assert_eq!(cluster.get_from("annex", "/recommend/4715").0, 200);

    cluster.kubectl("delete recsvc annex --timeout=60s");
    cluster.kubectl("delete deployment,service annex-redis");
    cluster.kubectl("delete secret annex-db-login annex-cache-login");
}

fn password(cluster: &Cluster, password: &str) {
    cluster.patch_object(
        "secret/annex-db-login",
        &format!(r#"{{"stringData": {{"password": "{password}"}}}}"#),
    );
}

/// Waits until other pods have taken over.
fn rolled(cluster: &Cluster) {
    let former = cluster.pods_of("annex");
    cluster.eventually(ROLLOUT, "no pod is from before", || {
        cluster
            .pods_of("annex")
            .iter()
            .all(|pod| !former.contains(pod))
    });
    cluster.settled_of("annex", 2, ROLLOUT);
}
