use super::{
    FIRST_PAUSE, Look, MAX_PAUSE, Next, REPORT, Run, State, is_run, limit, look, obsolete, pause,
};
use crate::controller::desired::provision::{FAILURES, INPUTS, RUN, SERVER, TASK};
use crate::controller::kind::{Kind, slim};
use jiff::Timestamp;
use kube::api::DynamicObject;
use reckon_contract::provisioning::{Facts, Flavour, Owner, Reason, Report, Step, Task};
use serde_json::{Value, json};
use std::num::NonZeroU32;
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn now() -> Timestamp {
    "2026-03-04T05:06:07Z".parse().unwrap()
}

fn ensure() -> Step {
    Step::Ensure {
        max_user_connections: NonZeroU32::MIN,
        writes: None,
    }
}

fn fence(connections: u32) -> Step {
    Step::SetFence {
        max_user_connections: NonZeroU32::new(connections).unwrap(),
    }
}

fn done() -> Report {
    Report::Done {
        facts: Facts {
            flavour: Flavour::MySql,
            version: (8, 4, 0),
            version_text: "8.4.0".to_owned(),
            max_connections: 151,
        },
        changes: Vec::new(),
    }
}

fn failed() -> Report {
    Report::Failed {
        reason: Reason::Unreachable,
        message: "no answer within 5 s".to_owned(),
    }
}

fn run(number: u64, step: Step, inputs: &str, state: State) -> Run {
    Run {
        name: format!("shop-provision-{number}"),
        uid: number.to_string(),
        step: Some(step),
        inputs: inputs.to_owned(),
        server: "db:3306".to_owned(),
        number,
        failures: 0,
        state,
    }
}

fn reported(age: Duration, report: Report) -> State {
    State::Reported {
        at: now() - age,
        report,
    }
}

fn next(runs: &[Run], inputs: &str) -> Next<'static> {
    match look(runs, inputs, HOUR, now()).next {
        Next::Nothing { until } => Next::Nothing { until },
        Next::Wait => Next::Wait,
        Next::Begin { number, failures } => Next::Begin { number, failures },
        Next::Stop(run) => panic!("{run:?}"),
    }
}

const UNDER_WAY: State = State::UnderWay { since: None };

#[test]
fn a_finished_run_is_repeated_after_a_while_or_for_other_inputs() {
    let first = Next::Begin {
        number: 1,
        failures: 0,
    };
    assert_eq!(next(&[], "a"), first);
    let minute = Duration::from_mins(1);
    let runs = [run(4, ensure(), "a", reported(59 * minute, done()))];
    let until = now() + minute;
    assert_eq!(next(&runs, "a"), Next::Nothing { until });
    let again = Next::Begin {
        number: 5,
        failures: 0,
    };
    assert_eq!(next(&runs, "b"), again);
    assert_eq!(look(&runs, "b", HOUR, now()).last, None);
    let runs = [run(4, ensure(), "a", reported(HOUR, done()))];
    assert_eq!(next(&runs, "a"), again);
    assert_eq!(
        look(&runs, "a", HOUR, now()).last,
        Some((&runs[0], &done()))
    );
}

#[test]
fn failures_are_retried_with_growing_pauses() {
    let mut runs = [run(4, ensure(), "a", reported(FIRST_PAUSE, failed()))];
    let next_failures = |runs: &[Run]| match next(runs, "a") {
        Next::Begin { failures, .. } => Some(failures),
        _ => None,
    };
    assert_eq!(next_failures(&runs), Some(1));
    runs[0].failures = 1;
    assert_eq!(next_failures(&runs), None);
    runs[0].state = reported(FIRST_PAUSE * 2, failed());
    assert_eq!(next_failures(&runs), Some(2));
    runs[0].failures = u32::MAX;
    runs[0].state = reported(MAX_PAUSE, failed());
    assert_eq!(next_failures(&runs), Some(u32::MAX));
    // Other inputs may succeed where these failed.
    runs[0].state = reported(Duration::ZERO, failed());
    assert_eq!(
        next(&runs, "b"),
        Next::Begin {
            number: 5,
            failures: 0
        }
    );
}

#[test]
fn pauses_grow_to_a_minute() {
    assert_eq!(pause(1), FIRST_PAUSE);
    assert_eq!(pause(2), FIRST_PAUSE * 2);
    assert_eq!(pause(u32::MAX), MAX_PAUSE);
}

#[test]
fn one_run_is_under_way_at_a_time() {
    let over = State::Over {
        at: now(),
        failure: None,
    };
    for state in [UNDER_WAY, State::Ending, over] {
        for step in [ensure(), fence(60), Step::AddPassword] {
            let runs = [
                run(1, ensure(), "a", reported(2 * HOUR, done())),
                run(2, step, "a", state.clone()),
            ];
            let look = look(&runs, "a", HOUR, now());
            assert_eq!(look.next, Next::Wait);
            // In the meantime the last report counts.
            assert_eq!(look.last, Some((&runs[0], &done())));
        }
    }
}

#[test]
fn only_a_run_whose_result_is_no_longer_wanted_is_stopped() {
    let runs = [run(2, ensure(), "a", UNDER_WAY)];
    assert_eq!(look(&runs, "b", HOUR, now()).next, Next::Stop(&runs[0]));
    let mut newer = runs;
    newer[0].step = None;
    assert_eq!(look(&newer, "b", HOUR, now()).next, Next::Stop(&newer[0]));
    for step in [fence(60), Step::AddPassword, Step::DiscardPassword] {
        assert_eq!(next(&[run(2, step, "a", UNDER_WAY)], "b"), Next::Wait);
    }
    let ending = [run(2, ensure(), "a", State::Ending)];
    assert_eq!(next(&ending, "b"), Next::Wait);
}

#[test]
fn finished_runs_are_kept_if_their_reports_count() {
    let age = Duration::from_secs(10);
    let names = |runs: &[Run], inputs: &str| -> Vec<u64> {
        let obsolete = obsolete(runs, inputs);
        obsolete.iter().map(|run| run.number).collect()
    };
    let mut runs = vec![
        run(1, ensure(), "old", reported(age, done())),
        run(2, ensure(), "new", reported(age, failed())),
        run(3, fence(60), "f", reported(age, failed())),
        run(4, ensure(), "new", reported(age, done())),
        run(5, fence(60), "f", reported(age, failed())),
        run(6, ensure(), "new", UNDER_WAY),
    ];
    assert_eq!(names(&runs, "new"), [1, 2, 3]);
    // There is no report for these inputs, so only the others contain the server's limit.
    assert_eq!(names(&runs, "newest"), [3]);
    runs[4].step = None;
    assert_eq!(names(&runs, "newest"), [3, 5]);
}

#[test]
fn the_newest_run_determines_the_limit_of_its_server() {
    let with = |mut report: Report, limit: u32| {
        if let Report::Done { facts, .. } = &mut report {
            facts.max_connections = limit;
        }
        reported(HOUR, report)
    };
    let mut runs = vec![
        run(3, fence(60), "b", with(done(), 151)),
        run(2, ensure(), "a", with(done(), 500)),
        run(4, ensure(), "a", with(failed(), 0)),
    ];
    assert_eq!(limit(&runs, "db:3306"), Some(151));
    assert_eq!(limit(&runs, "db:3307"), None);
    runs.remove(0);
    assert_eq!(limit(&runs, "db:3306"), Some(500));
}

fn job(annotations: &Value, status: &Value) -> DynamicObject {
    let mut job: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "shop-provision-1", "uid": "u", "annotations": annotations},
        "spec": {"backoffLimit": 0},
        "status": status,
    }))
    .unwrap();
    // As the store keeps it.
    slim(Kind::Job, &mut job);
    job
}

fn annotations(report: Option<&str>) -> Value {
    let owner = Owner {
        cluster: "c".to_owned(),
        namespace: "shop".to_owned(),
        name: "shop".to_owned(),
        uid: "r".to_owned(),
    };
    let task = Task {
        owner,
        step: fence(60),
    };
    let mut annotations = json!({
        TASK: task.to_json(), INPUTS: "a", SERVER: "db:3306", RUN: "7", FAILURES: "2",
    });
    if let Some(report) = report {
        annotations[REPORT] = json!(report);
    }
    annotations
}

fn conditions(type_: &str, reason: &str) -> Value {
    let at = now().to_string();
    json!([{"type": type_, "status": "True", "reason": reason, "lastTransitionTime": at}])
}

#[test]
fn a_job_is_read_as_it_was_written() {
    let read = |annotations: &Value, status: &Value| Run::of(&job(annotations, status)).unwrap();
    let begun = read(&annotations(None), &json!({}));
    let expected = Run {
        name: "shop-provision-1".to_owned(),
        uid: "u".to_owned(),
        step: Some(fence(60)),
        inputs: "a".to_owned(),
        server: "db:3306".to_owned(),
        number: 7,
        failures: 2,
        state: UNDER_WAY,
    };
    assert_eq!(begun, expected);
    let state = |report: Option<&str>, status: &Value| read(&annotations(report), status).state;
    let running = json!({"active": 1, "startTime": now().to_string()});
    assert_eq!(
        state(None, &running),
        State::UnderWay { since: Some(now()) }
    );
    let complete = json!({"conditions": conditions("Complete", "")});
    let over = State::Over {
        at: now(),
        failure: None,
    };
    assert_eq!(state(None, &complete), over);
    assert_eq!(state(Some("not a report"), &complete), over);
    let text = done().to_message();
    assert_eq!(
        state(Some(&text), &complete),
        State::Reported {
            at: now(),
            report: done()
        }
    );
    let late = json!({"conditions": conditions("Failed", "DeadlineExceeded")});
    assert_eq!(
        state(None, &late),
        State::Over {
            at: now(),
            failure: Some("DeadlineExceeded".to_owned())
        }
    );
}

#[test]
fn a_job_is_unfinished_while_one_of_its_pods_may_run() {
    for field in ["active", "terminating"] {
        let status = json!({field: 1, "conditions": conditions("Failed", "DeadlineExceeded")});
        let run = Run::of(&job(&annotations(None), &status)).unwrap();
        assert_eq!(run.state, UNDER_WAY, "{field}");
    }
    // Conditions that precede the end are not the end.
    for type_ in ["FailureTarget", "SuccessCriteriaMet"] {
        let status = json!({"conditions": conditions(type_, "")});
        let run = Run::of(&job(&annotations(None), &status)).unwrap();
        assert_eq!(run.state, UNDER_WAY, "{type_}");
    }
}

#[test]
fn a_task_of_another_version_is_a_run_with_an_unknown_step() {
    let mut own = annotations(None);
    own[TASK] = json!("{\"step\": \"dropDatabase\"}");
    let job = job(&own, &json!({}));
    assert!(is_run(&job));
    assert_eq!(Run::of(&job).unwrap().step, None);
    let migration = self::job(&json!({}), &json!({}));
    assert!(!is_run(&migration) && Run::of(&migration).is_none());
}

#[test]
fn a_fence_counts_as_set_once_that_was_reported() {
    let set = |step, state| run(1, step, "a", state).fence_set();
    assert_eq!(set(fence(60), reported(HOUR, done())), Some(60));
    assert_eq!(set(fence(60), reported(HOUR, failed())), None);
    assert_eq!(set(fence(60), UNDER_WAY), None);
    assert_eq!(set(ensure(), reported(HOUR, done())), None);
}

#[test]
fn a_clock_that_is_ahead_prolongs_no_pause() {
    let state = State::Reported {
        at: now() + 10 * HOUR,
        report: failed(),
    };
    let runs = [run(1, ensure(), "a", state)];
    let Look { next, .. } = look(&runs, "a", HOUR, now());
    assert_eq!(
        next,
        Next::Nothing {
            until: now() + FIRST_PAUSE
        }
    );
}
