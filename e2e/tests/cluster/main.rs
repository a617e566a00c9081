//! The promises, on a real cluster: `make up`, and then the changes and faults of a service. This is one test with
//! several parts, since they share the cluster, and a rollout takes long.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod budget;
mod events;
mod installs;
mod neighbour;
mod own_tables;
mod ranking;
mod scaling;

use reckon_e2e::cluster::{Cluster, conditions_text};
use reckon_e2e::load::Load;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Long enough for a rollout of two pods on a busy machine.
const ROLLOUT: Duration = Duration::from_mins(4);
/// Long enough for what takes seconds.
const SOON: Duration = Duration::from_secs(90);

#[test]
fn a_service_runs_on_a_real_cluster() {
    let began = Instant::now();
    let chapter = |name: &str| eprintln!("{:>4} s  {name}", began.elapsed().as_secs());

    chapter("make up, from nothing to an answer");
    let cluster = Cluster::up();
    assert!(
        cluster.output.contains("\"user_id\":1"),
        "{}",
        cluster.output
    );
    cluster.wait("Ready", "True", SOON);
    chapter("make up again changes nothing");
    up_again(&cluster);
    chapter("helm test");
    installs::helm_test(&cluster);
    chapter("from now on the namespace enforces restricted pods, and none that is there offends");
    cluster.kubectl("label namespace default pod-security.kubernetes.io/enforce=restricted --warnings-as-errors");
    chapter("from the server's limit to a plan, which the following chapters are about");
    plan_the_budget(&cluster);
    chapter("another image under 200 requests a second");
    image_upgrade_under_load(&cluster);
    chapter("a wrong image, and then the right one");
    wrong_image(&cluster);
    chapter("one pod, three by load, and one again");
    scaling::by_load(&cluster);
    chapter("cache, maximum and budget at once, under 20 requests a second");
    scaling::by_the_resource(&cluster);
    chapter("two pods and a managed Redis, killed, and back");
    redis_killed(&cluster);
    chapter("what is edited or deleted by hand is put back");
    children_restored(&cluster);
    chapter("a pod is killed");
    let pod = cluster.pods().remove(0);
    cluster.kubectl(&format!("delete pod {pod} --grace-period=0 --force"));
    cluster.eventually(SOON, "another pod is ready", || {
        let ready = cluster.kubectl("get deployment shop -o jsonpath={.status.readyReplicas}");
        !cluster.pods().contains(&pod) && cluster.pods().len() == 2 && ready == "2"
    });
    cluster.settled(2, ROLLOUT);
    chapter("the database is gone, and comes back");
    database_unavailable(&cluster);
    chapter("a new password for the database user, under load");
    password_rotated(&cluster);
    chapter("events are enabled, stored and erased, and disabled");
    events::stored_and_erased(&cluster);
    chapter("a second service: training, another algorithm and password, under load");
    golden_vectors(&cluster);
    neighbour::second_service(&cluster);
    chapter("the first service uses that model, without a restart");
    cluster.wait_for("shop", "ModelReady=True ModelLoaded", SOON);
    chapter("a service over views with UUIDs, which follows new rows");
    own_tables::views_and_uuids(&cluster);
    chapter("a Deployment of the same name is somebody's");
    foreign_deployment(&cluster);
    chapter("the operator by kustomize, after Helm took it away");
    installs::by_kustomize_after_helm(&cluster);
    chapter("the resource is deleted: nothing is left but the database");
    deleted(&cluster);
    chapter("a namespace with a service is deleted, and does not hang");
    namespace_deleted(&cluster);
    chapter("make down leaves nothing");
    cluster.down();
    chapter("done");
}

fn up_again(cluster: &Cluster) {
    cluster.settled(1, ROLLOUT);
    let before = cluster.versions();
    let again = cluster.make_up_again();
    assert!(again.contains("\"user_id\":1"), "{again}");
    assert_eq!(cluster.versions(), before);
}

/// A provisioned service begins under the server's limit.
fn plan_the_budget(cluster: &Cluster) {
    let enforcement = || cluster.service()["status"]["tuning"]["enforcement"].clone();
    assert_eq!(enforcement(), "Server");
    cluster.patch(r#"{"spec": {"mysql": {"budgetEnforcement": "Plan"}}}"#);
    cluster.eventually(ROLLOUT, "the budget is planned", || enforcement() == "Plan");
    cluster.wait("Progressing", "False", ROLLOUT);
}

fn image_upgrade_under_load(cluster: &Cluster) {
    cluster.patch(r#"{"spec":{"replicas":2,"cache":{"memory":{"percentOfLimit":0}}}}"#);
    cluster.settled(2, ROLLOUT);
    let former = cluster.pods();
    let image = cluster.service()["status"]["image"]
        .as_str()
        .unwrap()
        .to_owned();
    let (repository, _) = image.rsplit_once(':').unwrap();
    // The image that a registry would have.
    let tag = ["ctr", "--namespace", "k8s.io", "images", "tag"];
    let (from, to) = (
        format!("docker.io/{image}"),
        format!("docker.io/{repository}:next"),
    );
    cluster
        .inside(&[&tag[..], &[&from, &to]].concat(), "")
        .unwrap();
    let load = Load::start(cluster, "shop", 200);
    cluster.patch(&format!(r#"{{"spec":{{"image":"{repository}:next"}}}}"#));
    cluster.settled(2, ROLLOUT);
    assert!(cluster.pods().iter().all(|pod| !former.contains(pod)));
    load.stop().assert_all_answered(2000);
    let running = cluster.kubectl("get pods -l app.kubernetes.io/component=api -o jsonpath={.items[*].spec.containers[0].image}");
    assert_eq!(running, format!("{repository}:next {repository}:next"));
}

fn children_restored(cluster: &Cluster) {
    cluster.kubectl("delete service shop-metrics");
    cluster.kubectl("label service shop app.kubernetes.io/part-of=somebody --overwrite");
    cluster.eventually(SOON, "both Services are as before", || {
        let part = "get service shop -o jsonpath={.metadata.labels.app\\.kubernetes\\.io/part-of}";
        cluster.try_kubectl("get service shop-metrics").is_ok() && cluster.kubectl(part) == "reckon"
    });
}

fn wrong_image(cluster: &Cluster) {
    cluster.patch(r#"{"spec":{"image":"reckon/reckon-api:not-there"}}"#);
    cluster.eventually(SOON, "the condition names the image", || {
        let text = conditions_text(&cluster.service());
        text.contains("Degraded=True PodsFailing") && text.contains("reckon-api:not-there")
    });
    // The previous pods continue.
    assert!(conditions_text(&cluster.service()).contains("Ready=True"));
    assert_eq!(cluster.get("/recommend/1").0, 200);
    cluster.patch(r#"{"spec":{"image":null}}"#);
    cluster.settled(2, ROLLOUT);
}

fn database_unavailable(cluster: &Cluster) {
    cluster.kubectl("scale statefulset mysql --replicas=0");
    cluster.wait("DatabaseReachable", "False", SOON);
    let (code, body) = cluster.get("/recommend/4711");
    assert_eq!(code, 503, "{body}");
    cluster.kubectl("scale statefulset mysql --replicas=1");
    cluster.wait("DatabaseReachable", "True", SOON);
    cluster.eventually(SOON, "an answer", || {
        cluster.get("/recommend/4711").0 == 200
    });
}

fn redis_killed(cluster: &Cluster) {
    cluster.patch(
        r#"{"spec":{"replicas":2,"autoscaling":null,"redis":{"managed":{"maxMemory":"64Mi"}}}}"#,
    );
    cluster.settled(2, ROLLOUT);
    cluster.wait("CacheReachable", "True", SOON);
    // So that it stays away until its absence was observed.
    cluster.kubectl("cordon reckon");
    cluster.kubectl("delete pod -l app.kubernetes.io/component=redis --grace-period=0 --force");
    cluster.wait("CacheReachable", "False", SOON);
    assert!(conditions_text(&cluster.service()).contains("Degraded=True CacheUnreachable"));
    assert_eq!(cluster.get("/recommend/1").0, 200);
    cluster.kubectl("uncordon reckon");
    cluster.wait("CacheReachable", "True", SOON);
}

fn password_rotated(cluster: &Cluster) {
    let load = Load::start(cluster, "shop", 100);
    let secret = || cluster.kubectl("get secret shop-mysql -o jsonpath={.data.password}");
    let old = secret();
    cluster.kubectl("annotate recsvc shop reckon.dev/rotate-password-at=1 --overwrite");
    cluster.eventually(SOON, "another password", || secret() != old);
    cluster.eventually(ROLLOUT, "the former password is discarded", || {
        let stage =
            "get secret shop-mysql -o jsonpath={.metadata.annotations.reckon\\.dev/rotation}";
        cluster.kubectl(stage).is_empty()
    });
    load.stop().assert_all_answered(1000);
    let (code, body) = cluster.get("/recommend/4712");
    assert_eq!(code, 200, "{body}");
}

fn deleted(cluster: &Cluster) {
    cluster.kubectl("delete recsvc shop --timeout=60s");
    cluster.eventually(SOON, "no child", || {
        let children = "get deploy,svc,sa,cm,secret,hpa,pdb,netpol,job,pod \
             -l app.kubernetes.io/managed-by=reckon-operator -o name";
        cluster.kubectl(children).trim().is_empty()
    });
    let users = cluster.mysql("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'reckon\\_%'");
    assert_eq!(users.trim(), "1");
    let rows = cluster.mysql("SELECT COUNT(*) > 0 FROM shop.searches");
    assert_eq!(rows.trim(), "1");
}

fn namespace_deleted(cluster: &Cluster) {
    cluster.kubectl("create namespace short");
    cluster.apply(
        "{apiVersion: reckon.dev/v1alpha1, kind: RecommendationService, metadata: {name: brief, namespace: short}, \
         spec: {replicas: 1, mysql: {external: {host: mysql.default, database: shop, credentials: {secretName: absent}}, connectionBudget: 20}}}",
    );
    cluster.eventually(SOON, "the missing Secret is named", || {
        cluster
            .try_kubectl("get recsvc brief -n short -o yaml")
            .is_ok_and(|text| text.contains("there is no Secret absent"))
    });
    cluster.kubectl("delete namespace short --timeout=60s");
}

fn foreign_deployment(cluster: &Cluster) {
    cluster.kubectl("create deployment taken --image=redis:7.2.16 --replicas=0");
    let theirs = || cluster.object("deployment taken")["metadata"]["resourceVersion"].clone();
    cluster.eventually(SOON, "its controller has seen it", || {
        let deployment = cluster.object("deployment taken");
        deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    });
    let before = theirs();
    cluster.apply(
        "{apiVersion: reckon.dev/v1alpha1, kind: RecommendationService, metadata: {name: taken}, \
         spec: {replicas: 1, mysql: {external: {host: mysql, database: shop, credentials: {secretName: shop-mysql}}, connectionBudget: 20}}}",
    );
    cluster.wait_for(
        "taken",
        "Ready=False NameConflict: Deployment taken already exists and is not managed by this resource",
        SOON,
    );
    assert_eq!(theirs(), before);
    cluster.kubectl("delete recsvc,deployment taken --timeout=60s");
}

/// The rows of each vector, each with a separate user, in the tables of the original.
fn golden_vectors(cluster: &Cluster) {
    let vectors = golden();
    let mut sql = String::new();
    for (index, vector) in vectors.iter().enumerate() {
        let user = 900_000 + index;
        for (rows, table, time, category) in [
            ("searches", "searches", "searched_at", "category"),
            ("purchases", "purchase", "purchased_at", "product_category"),
        ] {
            for (age, name) in vector[rows].as_array().unwrap().iter().enumerate() {
                let name = name.as_str().map_or("NULL".to_owned(), quoted);
                writeln!(sql,                     "INSERT INTO {table} (id, {time}, {category}) VALUES ({user}, '2026-01-31 12:00:00' - INTERVAL {age} SECOND, {name});").unwrap();
            }
        }
    }
    cluster.mysql(&format!(
        "SET NAMES utf8mb4; USE shop; START TRANSACTION;\n{sql}COMMIT;"
    ));
}

/// Whether a service on that database gives a pod the answers of the vectors.
fn answers_the_golden_vectors(cluster: &Cluster, service: &str) {
    let answers = cluster.get_from_a_pod(service, "/recommend/", 900_000..900_100);
    for (index, (vector, answer)) in golden().iter().zip(&answers).enumerate() {
        let expected = &vector["answer"];
        assert_eq!(answer["metadata"], expected["metadata"], "vector {index}");
        assert_eq!(
            answer["recommendations"], expected["recommendations"],
            "vector {index}"
        );
    }
    assert_eq!(answers.len(), golden().len());
}

fn golden() -> Vec<serde_json::Value> {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../api/tests/it/golden.json")).unwrap();
    assert_eq!(vectors.len(), 100);
    vectors
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
