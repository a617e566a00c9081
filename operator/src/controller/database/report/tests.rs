use super::{report, stalled};
use crate::controller::runs::{Run, State};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use reckon_contract::provisioning::{Facts, Flavour, Reason, Report, Step};
use serde_json::{Value, json};

fn run(failure: Option<&str>) -> Run {
    Run {
        name: "shop-provision-1".to_owned(),
        uid: "own".to_owned(),
        step: Some(Step::AddPassword),
        inputs: "a".to_owned(),
        server: "db:3306".to_owned(),
        number: 1,
        failures: 0,
        state: State::Over {
            at: Timestamp::UNIX_EPOCH,
            failure: failure.map(str::to_owned),
        },
    }
}

fn pod(uid: &str, made: &str, status: &Value) -> Pod {
    let owner = json!({
        "apiVersion": "batch/v1", "kind": "Job", "name": "shop-provision-1", "uid": uid, "controller": true,
    });
    let metadata = json!({
        "name": format!("shop-provision-1-{uid}"), "creationTimestamp": made, "ownerReferences": [owner],
    });
    serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
}

const EARLY: &str = "2026-03-04T05:06:07Z";
const LATE: &str = "2026-03-04T05:06:09Z";

fn ended(code: i32, reason: &str, message: &str) -> Value {
    let terminated = json!({"exitCode": code, "reason": reason, "message": message});
    of_container(&json!({"terminated": terminated}))
}

fn of_container(state: &Value) -> Value {
    json!({"containerStatuses": [{
        "name": "provision", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state,
    }]})
}

fn waiting(reason: &str) -> Value {
    of_container(&json!({"waiting": {"reason": reason, "message": "not found"}}))
}

fn done() -> Report {
    Report::Done {
        facts: Facts {
            flavour: Flavour::MariaDb,
            version: (10, 11, 14),
            version_text: "10.11.14-MariaDB".to_owned(),
            max_connections: 151,
        },
        changes: Vec::new(),
    }
}

#[track_caller]
fn failure_message(pods: &[Pod], failure: Option<&str>, seen: Option<&str>) -> String {
    match report(&run(failure), pods, seen) {
        Report::Failed {
            reason: Reason::ProvisioningFailed,
            message,
        } => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_report_is_that_of_a_pod_which_the_job_controls() {
    let message = done().to_message();
    let own = pod("own", EARLY, &ended(0, "Completed", &message));
    assert_eq!(report(&run(None), &[own], None), done());
    let other = pod("other", LATE, &ended(0, "Completed", &message));
    assert_eq!(
        failure_message(&[other], None, None),
        "the Job shop-provision-1 ended without a report: its pod was deleted; `kubectl describe job shop-provision-1` says more"
    );
}

#[test]
fn the_report_is_that_of_the_program_and_not_of_a_proxy_beside_it() {
    let mut status = ended(0, "Completed", &done().to_message());
    let mut proxy = status["containerStatuses"][0].clone();
    proxy["name"] = json!("istio-proxy");
    proxy["state"]["terminated"]["message"] = json!("bye");
    let all = status["containerStatuses"].as_array_mut().unwrap();
    all.insert(0, proxy);
    let own = pod("own", EARLY, &status);
    assert_eq!(report(&run(None), &[own], None), done());
}

#[test]
fn of_several_pods_the_newest_report_counts() {
    let failed = Report::Failed {
        reason: Reason::AccessDenied,
        message: "no".to_owned(),
    };
    let pods = [
        pod("own", EARLY, &ended(1, "Error", &failed.to_message())),
        pod("own", LATE, &ended(0, "Completed", &done().to_message())),
    ];
    assert_eq!(report(&run(None), &pods, None), done());
}

#[test]
fn a_job_without_a_report_gives_a_reason_and_a_remedy() {
    let told = |status: &Value, failure, seen| {
        failure_message(&[pod("own", EARLY, status)], failure, seen)
    };
    for (said, expected) in [
        (
            told(&ended(137, "OOMKilled", ""), None, None),
            "its container ended with code 137 (OOMKilled)",
        ),
        (
            told(&ended(2, "Error", ""), None, None),
            "with code 2 (Error): is the operator's --api-image of the operator's own version?",
        ),
        (
            told(&ended(0, "Completed", "hello"), None, None),
            "invalid report: ",
        ),
        (
            told(&ended(0, "Completed", &"x".repeat(5000)), None, None),
            "invalid report: 5000 bytes",
        ),
        (
            told(
                &json!({"reason": "Evicted", "message": "low on memory"}),
                None,
                None,
            ),
            "its pod was ended (Evicted: low on memory)",
        ),
        (
            told(&waiting("ErrImagePull"), Some("DeadlineExceeded"), None),
            "it was not finished within 120 s; ErrImagePull, its image cannot be pulled: check the operator's --api-image, spec.pod.imagePullSecrets and the node's way to the registry: not found",
        ),
        (
            failure_message(
                &[],
                Some("DeadlineExceeded"),
                Some("its pod has no node: 0/1"),
            ),
            "it was not finished within 120 s; its pod has no node: 0/1",
        ),
    ] {
        assert!(said.contains(expected), "{said}");
        assert!(
            said.starts_with("the Job shop-provision-1 ended without a report: "),
            "{said}"
        );
    }
}

#[test]
fn a_pod_that_does_not_start_gives_a_reason() {
    let why = |status: &Value| stalled(&run(None), &[pod("own", EARLY, status)]);
    assert_eq!(why(&waiting("ContainerCreating")), None);
    assert_eq!(why(&of_container(&json!({"running": {}}))), None);
    let image = why(&waiting("ImagePullBackOff")).unwrap();
    assert!(image.contains("its image cannot be pulled"), "{image}");
    let unscheduled = json!({"type": "PodScheduled", "status": "False", "message": "0/1 nodes"});
    assert_eq!(
        why(&json!({"conditions": [unscheduled]})).unwrap(),
        "its pod has no node: 0/1 nodes"
    );
    assert_eq!(
        stalled(&run(None), &[]).unwrap(),
        "it has no pod: a quota or admission control may refuse it"
    );
}
