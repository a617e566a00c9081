use super::*;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        observed_generation: Some(1),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    }
}

fn starting() -> Vec<Condition> {
    vec![
        condition("Ready", "False", "PodsStarting", "0 of 1 pods are ready"),
        condition(
            "Progressing",
            "True",
            "Preparing",
            "creating the resources that the pods depend on",
        ),
        condition("Degraded", "False", "NotReady", "see Ready"),
        condition(
            "DatabaseReachable",
            "Unknown",
            "NoPodAnswers",
            "no pod has said",
        ),
        condition(
            "IndexesReady",
            "False",
            "Migrating",
            "tables and indexes are being created",
        ),
        condition("Paused", "False", "Active", "changes are applied"),
    ]
}

fn reasons(before: &[Condition], now: &[Condition]) -> Vec<String> {
    let told = news(before, now).into_iter();
    told.map(|news| format!("{} {}", news.condition.type_, news.condition.reason))
        .collect()
}

#[test]
fn a_new_resource_causes_events_only_for_problems() {
    assert!(reasons(&[], &starting()).is_empty());
    let mut now = starting();
    now[0] = condition("Ready", "False", "SecretMissing", "there is no Secret");
    assert_eq!(reasons(&[], &now), ["Ready SecretMissing"]);
}

#[test]
fn a_text_shared_by_two_conditions_is_reported_once() {
    let mut now = starting();
    now[0] = condition("Ready", "False", "AccessDenied", "access denied");
    now[3] = condition(
        "DatabaseReachable",
        "False",
        "AccessDenied",
        "access denied",
    );
    assert_eq!(reasons(&starting(), &now), ["Ready AccessDenied"]);
    assert!(reasons(&now, &now).is_empty());
}

#[test]
fn a_recovery_causes_an_event_and_a_changed_message_does_not() {
    let mut before = starting();
    before[0] = condition("Ready", "True", "PodsReady", "1 pods are ready");
    before[2] = condition("Degraded", "True", "DatabaseUnreachable", "unreachable");
    let mut now = before.clone();
    now[0].message = "2 pods are ready".to_owned();
    now[2] = condition("Degraded", "False", "UpToDate", "nothing is wrong");
    assert_eq!(reasons(&before, &now), ["Degraded UpToDate"]);
    assert!(reasons(&starting()[2..3], &now[2..3]).is_empty());
    now[2] = condition("Degraded", "False", "NotReady", "see Ready");
    now[0] = condition("Ready", "False", "PodsFailing", "killed");
    assert_eq!(reasons(&before, &now), ["Ready PodsFailing"]);
}

#[test]
fn starting_pods_are_no_problem_unless_others_were_ready() {
    let starting = &starting()[0];
    assert!(is_good(starting, None) && is_good(starting, Some(starting)));
    let ready = condition("Ready", "True", "PodsReady", "1 pods are ready");
    assert!(!is_good(starting, Some(&ready)));
}
