//! The connection of a training.

use super::plan;
use super::{held, live, now, settled, target, template, waits};
use crate::tuning::plan::{Action, Live, Target};

#[test]
fn a_training_is_created_once_there_is_a_connection_for_it() {
    let wanted = Target {
        training: true,
        ..target()
    };
    // First, the limit of the pods' account leaves one connection free.
    let fenced = plan(&settled(), &wanted, now());
    assert_eq!(fenced.action, Some(Action::SetFence(146)));
    let settled = || Live {
        fence: Some(146),
        ..settled()
    };
    let free = plan(&settled(), &wanted, now());
    assert_eq!(free.action, Some(Action::CreateTraining));
    // 12 x 12 connections may be open, and 144 are allowed.
    let tight = Target {
        budget: 147,
        ..wanted.clone()
    };
    let full = plan(
        &Live {
            fence: Some(143),
            ..settled()
        },
        &tight,
        now(),
    );
    assert_eq!(
        waits(&full),
        (
            "WaitingForConnections",
            "the next step may need 145 connections and 144 are allowed: waiting for older pods to terminate"
                .to_owned()
        )
    );
    // A training that exists, and one for whose service no pods exist yet.
    let there = Live {
        training: 1,
        ..settled()
    };
    assert!(plan(&there, &wanted, now()).settled());
    let create = plan(&Live::default(), &wanted, now()).action;
    assert!(matches!(create, Some(Action::CreateDeployment { .. })));
}

#[test]
fn pools_grow_once_a_training_that_is_no_longer_wanted_has_ended() {
    // 12 x 13 connections.
    let greater = Target {
        template: template("b", 13),
        budget: 159,
        ..target()
    };
    let ends = live(|live, _, hpa| {
        held(hpa);
        live.fence = Some(155);
        live.training = 1;
    });
    let waiting = plan(&ends, &greater, now());
    assert_eq!(
        waits(&waiting),
        (
            "WaitingForTraining",
            "waiting for the training to end, since it holds a connection".to_owned()
        )
    );
    assert_eq!(waiting.in_force, Some(156));
    let ended = Live {
        training: 0,
        fence: Some(156),
        ..ends
    };
    let grows = plan(&ended, &greater, now()).action;
    assert!(matches!(grows, Some(Action::WriteTemplate { .. })));
}

#[test]
fn no_training_is_created_while_the_pool_of_a_pod_is_unknown() {
    let wanted = Target {
        training: true,
        ..target()
    };
    let mut unknown = settled();
    unknown.pods[0].pool = None;
    assert_eq!(plan(&unknown, &wanted, now()).action, None);
}
