//! A second service in the namespace, with the same database, and with an existing user and Redis.

use super::ranking::{self, Ranking};
use super::{ROLLOUT, SOON, answers_the_golden_vectors};
use reckon_e2e::cluster::{Cluster, conditions_text};

const USER: &str = "CREATE USER annex IDENTIFIED BY 'first-of-two'; GRANT SELECT ON shop.* TO annex; \
    GRANT INSERT, DELETE ON shop.reckon_model TO annex;";

pub fn second_service(cluster: &Cluster) {
    cluster.mysql(USER);
    cluster.apply(include_str!("neighbour.yaml"));
    cluster.settled_of("annex", 2, ROLLOUT);
    cluster.wait_for("annex", "DatabaseReachable=True ", SOON);
    cluster.wait_for("annex", "CacheReachable=True ", SOON);
    let load = ranking::load(cluster, "annex");
    ranking::settled(&load, Ranking::OwnHistory);
    ranking::train(cluster, "annex");

    // Another algorithm and another password in one rollout. This is the careful way: both passwords are valid until
    // all pods are replaced.
    cluster.mysql("ALTER USER annex IDENTIFIED BY 'second-of-two' RETAIN CURRENT PASSWORD");
    change(
        cluster,
        r#"{"training":null,"recommendation":{"algorithm":"Classic"}}"#,
        || {
            password(cluster, "second-of-two");
        },
    );
    cluster.mysql("ALTER USER annex DISCARD OLD PASSWORD");
    ranking::settled(&load, Ranking::Classic);
    answers_the_golden_vectors(cluster, "annex");
    assert_eq!(cluster.get_from("annex", "/recommend/4713").0, 200);

    // This is the careless way: the pods with the valid password continue.
    password(cluster, "a-wrong-one");
    cluster.wait_for("annex", "Degraded=True AccessDenied", SOON);
    assert_eq!(cluster.get_from("annex", "/recommend/4714").0, 200);
    assert!(conditions_text(&cluster.object("recsvc annex")).contains("Ready=True"));
    change(cluster, r#"{"recommendation":null}"#, || {
        password(cluster, "second-of-two");
    });
    assert_eq!(cluster.get_from("annex", "/recommend/4715").0, 200);
    cluster.eventually(SOON, "every pod uses the model", || {
        conditions_text(&cluster.object("recsvc annex")).contains(" is in use, trained at ")
    });
    ranking::settled(&load, Ranking::Model);
    let told = load.stop();
    told.assert_all_answered(2000);
    ranking::each_answer_is_of_one_ranking(told.kept);

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

/// Changes the resource and another object at the same time, and waits until new pods have replaced the old ones.
fn change(cluster: &Cluster, spec: &str, also: impl FnOnce()) {
    let former = cluster.pods_of("annex");
    let patch = |spec: &str| cluster.patch_object("recsvc/annex", &format!(r#"{{"spec":{spec}}}"#));
    patch(r#"{"paused":true}"#);
    patch(spec);
    also();
    patch(r#"{"paused":false}"#);
    cluster.eventually(ROLLOUT, "every pod has been replaced", || {
        cluster
            .pods_of("annex")
            .iter()
            .all(|pod| !former.contains(pod))
    });
    cluster.settled_of("annex", 2, ROLLOUT);
}
