use super::{
    gave_up_at, image, live, other_grace, pod, stuck_since, trouble, tunings, unready, window,
};
use crate::controller::desired::{Facts, autoscaler, deployment, desired};
use crate::controller::instance::Instance;
use crate::controller::kind::{Kind, slim};
use crate::controller::observe::live::IMAGE;
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::tuning::Surge;
use crate::tuning::plan::{Former, HpaWrite, Lowered, Pause, ScaleDown};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use std::time::Duration;

const PACE: Duration = Duration::from_secs(55);

fn moment() -> Timestamp {
    "2026-03-04T05:06:07.008Z".parse().unwrap()
}

/// An object as the store keeps it.
fn stored(kind: Kind, value: &Value) -> DynamicObject {
    let mut object = sample::object(value);
    slim(kind, &mut object);
    object
}

fn written(instance: &Instance, former: Option<Former>) -> Value {
    let resources = desired(instance, &Facts::default());
    resources.deployment.with(PACE, Surge::Pods(1), former)
}

#[test]
fn a_deployment_reads_back_as_it_was_written() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let instance = sample::instance(yaml);
        let planned = desired(&instance, &Facts::default()).deployment.planned;
        for former in [None, Some(Former { pool: 17, surge: 4 })] {
            let mut value = written(&instance, former);
            value["spec"]["replicas"] = json!(4);
            value["metadata"]["generation"] = json!(6);
            value["status"] = json!({
                "observedGeneration": 5, "replicas": 4, "updatedReplicas": 3, "availableReplicas": 2,
            });
            let objects = [sample::object(&value), stored(Kind::Deployment, &value)];
            for object in objects {
                let read = live(Some(&object), None, Vec::new(), None);
                let read = read.deployment.unwrap();
                assert_eq!(read.template.hash.as_ref(), Some(&planned.hash));
                assert_eq!(read.template.pool, Some(planned.pool));
                assert_eq!(read.template.grace, Some(planned.grace));
                assert_eq!((read.min_ready, read.former), (PACE, former));
                assert_eq!((read.pause, read.lowered), (Pause::Off, None));
                assert_eq!(
                    (read.replicas, read.current, read.updated, read.available),
                    (4, 4, 3, 2)
                );
                assert_eq!((read.generation, read.observed_generation), (6, 5));
            }
        }
    }
}

#[test]
fn a_pause_and_a_lowering_read_back_as_they_were_written() {
    let mut value = written(&sample::instance(MINIMAL), None);
    value["spec"]["paused"] = json!(true);
    let pause = |value: &Value| {
        let object = stored(Kind::Deployment, value);
        live(Some(&object), None, Vec::new(), None)
            .deployment
            .unwrap()
    };
    assert_eq!(pause(&value).pause, Pause::On(None));
    let annotations = &mut value["metadata"]["annotations"];
    annotations[deployment::PAUSED_AT] = json!(autoscaler::text(moment()));
    annotations[deployment::LOWERED_AT] = json!(autoscaler::text(moment()));
    annotations[deployment::LOWERED_FROM] = json!("9");
    let read = pause(&value);
    assert_eq!(read.pause, Pause::On(Some(moment())));
    let lowered = Lowered {
        at: moment(),
        from: 9,
    };
    assert_eq!(read.lowered, Some(lowered));
}

#[test]
fn an_autoscaler_reads_back_as_it_was_written() {
    let instance = sample::instance(FULL);
    for scale_down in [
        ScaleDown::Pods {
            count: 1,
            period: PACE,
        },
        ScaleDown::Pods {
            count: 4,
            period: PACE,
        },
        ScaleDown::Disabled { since: moment() },
    ] {
        for lowered in [
            None,
            Some(Lowered {
                at: moment(),
                from: 9,
            }),
        ] {
            let write = HpaWrite {
                min: 3,
                max: 8,
                scale_down,
                lowered,
            };
            let value = autoscaler::autoscaler(&instance, &write, Some(PACE));
            let object = stored(Kind::HorizontalPodAutoscaler, &value);
            let read = live(None, Some(&object), Vec::new(), None).hpa.unwrap();
            assert_eq!((read.min, read.max), (3, 8));
            assert_eq!(read.scale_down, Some(scale_down));
            assert_eq!(read.lowered, lowered);
            assert_eq!(window(&object), Some(PACE));
        }
    }
}

#[test]
fn the_default_scale_down_is_an_absent_one_or_the_one_that_the_api_server_fills_in() {
    let write = HpaWrite {
        min: 3,
        max: 8,
        scale_down: ScaleDown::Default,
        lowered: None,
    };
    let absent = autoscaler::autoscaler(&sample::instance(FULL), &write, Some(PACE));
    assert!(absent["spec"].get("behavior").is_none());
    let mut filled = absent.clone();
    filled["spec"]["behavior"] = json!({
        "scaleUp": {"stabilizationWindowSeconds": 0, "selectPolicy": "Max"},
        "scaleDown": {
            "selectPolicy": "Max",
            "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
        },
    });
    for value in [absent, filled] {
        let object = stored(Kind::HorizontalPodAutoscaler, &value);
        let read = live(None, Some(&object), Vec::new(), None).hpa.unwrap();
        assert_eq!(read.scale_down, Some(ScaleDown::Default), "{value}");
    }
}

#[test]
fn a_surge_reads_back_as_it_was_written_and_another_strategy_is_not_recognized() {
    let read = |value: &Value| {
        let object = stored(Kind::Deployment, value);
        let live = live(Some(&object), None, Vec::new(), None);
        live.deployment.unwrap().surge
    };
    let mut value = written(&sample::instance(MINIMAL), None);
    for surge in [Surge::Pods(1), Surge::Pods(7), Surge::Percent(25)] {
        value["spec"]["strategy"] = deployment::strategy(surge);
        assert_eq!(read(&value), Some(surge));
    }
    let edits: [fn(&mut Value); 4] = [
        |strategy| strategy["rollingUpdate"]["maxUnavailable"] = json!("25%"),
        |strategy| strategy["rollingUpdate"]["maxUnavailable"] = json!(1),
        |strategy| strategy["rollingUpdate"]["maxSurge"] = json!("many"),
        |strategy| *strategy = json!({"type": "Recreate"}),
    ];
    for edit in edits {
        let mut edited = value.clone();
        edit(&mut edited["spec"]["strategy"]);
        assert_eq!(read(&edited), None, "{edited}");
    }
}

#[test]
fn a_scale_down_that_the_operator_never_wrote_is_not_recognized() {
    let write = HpaWrite {
        min: 3,
        max: 8,
        scale_down: ScaleDown::Pods {
            count: 1,
            period: PACE,
        },
        lowered: None,
    };
    let good = autoscaler::autoscaler(&sample::instance(FULL), &write, None);
    let edits: [fn(&mut Value); 6] = [
        |down| down["policies"][0]["value"] = json!(-1),
        |down| down["policies"][0]["type"] = json!("Percent"),
        |down| down["policies"][0]["periodSeconds"] = json!(54),
        |down| down["stabilizationWindowSeconds"] = json!(54),
        |down| down["policies"] = json!([]),
        // Without the time that is written with it.
        |down| down["selectPolicy"] = json!("Disabled"),
    ];
    for edit in edits {
        let mut value = good.clone();
        edit(&mut value["spec"]["behavior"]["scaleDown"]);
        let object = stored(Kind::HorizontalPodAutoscaler, &value);
        let read = live(None, Some(&object), Vec::new(), None).hpa.unwrap();
        assert_eq!(read.scale_down, None, "{value}");
    }
}

#[test]
fn pool_grace_and_tuning_are_read_from_a_pod_of_the_template() {
    let instance = sample::instance(FULL);
    let value = written(&instance, None);
    let mut meta = value["spec"]["template"]["metadata"].clone();
    meta["name"] = json!("one");
    meta["deletionTimestamp"] = json!("2026-03-04T05:06:07Z");
    let read = pod(&serde_json::from_value(meta).unwrap());
    assert_eq!(
        (read.name.as_str(), read.pool, read.grace),
        ("one", Some(14), Some(Duration::from_secs(45)))
    );
    assert_eq!(
        read.deletion.unwrap().due.to_string(),
        "2026-03-04T05:06:07Z"
    );
    let object = stored(Kind::Deployment, &value);
    let tuning = desired(&instance, &Facts::default()).deployment.tuning;
    assert_eq!(tunings(Some(&object), &[]), [tuning]);
}

#[test]
fn the_time_of_failure_is_read_from_a_failed_job() {
    let job = |status: &str| {
        let conditions = json!([
            {"type": "FailureTarget", "status": "True", "lastTransitionTime": "2026-03-04T05:00:00Z"},
            {"type": "Failed", "status": status, "lastTransitionTime": "2026-03-04T05:06:07Z"},
        ]);
        stored(
            Kind::Job,
            &json!({"metadata": {"name": "migrate"}, "status": {"conditions": conditions}}),
        )
    };
    let at = gave_up_at(&job("True")).unwrap();
    assert_eq!(at.to_string(), "2026-03-04T05:06:07Z");
    assert_eq!(gave_up_at(&job("False")), None);
}

#[test]
fn an_object_being_deleted_counts_as_absent() {
    let mut value = written(&sample::instance(MINIMAL), None);
    value["metadata"]["deletionTimestamp"] = json!("2026-03-04T05:06:07Z");
    let object = sample::object(&value);
    let read = live(Some(&object), Some(&object), Vec::new(), Some(7));
    assert_eq!(
        (read.deployment, read.hpa, read.fence),
        (None, None, Some(7))
    );
}

#[test]
fn a_pod_that_does_not_start_is_reported_with_the_message_of_kubelet_or_scheduler() {
    let problem = |status: Value| {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"name": "one"}, "status": status})).unwrap();
        trouble(&pod)
    };
    let container = |state: Value, last: Value| {
        json!({"containerStatuses": [{
            "name": "api", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
            "state": state, "lastState": last,
        }]})
    };
    assert_eq!(
        problem(container(
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}),
            json!({})
        )),
        Some("pod one: ImagePullBackOff, its image cannot be pulled: check spec.image, spec.pod.imagePullSecrets and the node's way to the registry: no such image".to_owned())
    );
    assert_eq!(
        problem(container(
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
            json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
        )),
        Some("pod one: CrashLoopBackOff; it ended with code 137 (OOMKilled)".to_owned())
    );
    let starting = container(
        json!({"waiting": {"reason": "ContainerCreating"}}),
        json!({}),
    );
    assert_eq!(problem(starting), None);
    assert_eq!(
        problem(json!({"conditions": [{
            "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available",
        }]})),
        Some("pod one has no node: 0/3 nodes are available".to_owned())
    );
}

#[test]
fn the_grace_period_is_read_from_the_api_server() {
    let mut value = written(&sample::instance(MINIMAL), None);
    let read = |value: &Value| {
        let object = stored(Kind::Deployment, value);
        let grace = live(Some(&object), None, Vec::new(), None)
            .deployment
            .unwrap()
            .template
            .grace;
        (grace.unwrap().as_secs(), other_grace(&object))
    };
    assert_eq!(read(&value), (20, None));
    value["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(60);
    let other = (Duration::from_mins(1), Duration::from_secs(20));
    assert_eq!(read(&value), (60, Some(other)));

    let grace = |meta: Value| pod(&serde_json::from_value(meta).unwrap()).grace;
    let annotations = json!({"reckon.dev/grace-seconds": "20"});
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(grace(json!({"annotations": annotations})), seconds(20));
    for (given, counts) in [(60, 60), (0, 20)] {
        let meta = json!({"annotations": annotations, "deletionGracePeriodSeconds": given});
        assert_eq!(grace(meta), seconds(counts));
    }
    assert_eq!(grace(json!({})), None);
}

#[test]
fn the_image_is_the_one_that_the_operator_wrote_even_if_admission_changed_it() {
    let mut value = written(&sample::instance(MINIMAL), None);
    value["metadata"]["annotations"][IMAGE] = json!("reckon/reckon-api:1.2.3");
    value["spec"]["template"]["spec"]["containers"][0]["image"] = json!("mirror/reckon-api:1.2.3");
    let read = |value: &Value| image(&stored(Kind::Deployment, value));
    assert_eq!(read(&value).as_deref(), Some("reckon/reckon-api:1.2.3"));
    let annotations = value["metadata"]["annotations"].as_object_mut();
    annotations.unwrap().remove(IMAGE);
    assert_eq!(read(&value).as_deref(), Some("mirror/reckon-api:1.2.3"));
}

#[test]
fn a_rollout_beyond_its_deadline_is_stuck_at_the_youngest_pod_that_is_not_ready() {
    let stuck = |reason: &str| {
        let mut value = written(&sample::instance(MINIMAL), None);
        value["status"] = json!({"conditions": [{
            "type": "Progressing", "status": "False", "reason": reason, "lastUpdateTime": "2026-03-04T05:16:07Z",
        }]});
        stuck_since(&stored(Kind::Deployment, &value))
    };
    assert_eq!(
        stuck("ProgressDeadlineExceeded"),
        Some("2026-03-04T05:16:07Z".parse().unwrap())
    );
    assert_eq!(stuck("NewReplicaSetAvailable"), None);

    let pod = |name: &str, made: &str, ready: &str| -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": made},
            "status": {"conditions": [
                {"type": "Ready", "status": ready, "lastTransitionTime": "2026-03-04T05:06:07Z"},
            ]},
        }))
        .unwrap()
    };
    let mut pods = vec![
        pod("old", "2026-03-04T04:00:00Z", "False"),
        pod("new", "2026-03-04T05:06:00Z", "False"),
        pod("newest", "2026-03-04T05:07:00Z", "True"),
    ];
    assert_eq!(
        unready(&pods).unwrap(),
        "pod new has not been ready since 2026-03-04T05:06:07Z"
    );
    pods.drain(..2);
    assert_eq!(unready(&pods), None);
}
