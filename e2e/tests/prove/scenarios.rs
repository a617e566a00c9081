//! The scenarios: how big the service is, what happens to it, and what is promised.

use super::actions;
use super::service::{Kind, Pods, Service};
use super::subject::Subject;

/// Pods of a service with a fixed number of them, and its budget: a pool of 4 in planned mode.
const FEW: Service = bare(Pods::Fixed(3), 20);
/// The same of one that is scaled.
const SCALED: Service = bare(Pods::Between(2, 5), 28);

/// Number of clients. It is greater than the number of connections of a few pods.
const CLIENTS: u32 = 28;
/// Requests a second of each client. Together they need more connections than a few pods have.
const BUSY: u32 = 8;
/// For many pods, whose rollout would otherwise compete with the clients for the processors.
const MODERATE: u32 = 4;

/// Something that happens.
pub struct Scenario {
    /// Its name on the command line and in the results.
    pub name: &'static str,
    /// What happens, for the document.
    pub what: &'static str,
    pub service: Service,
    /// The greatest budget while it happens.
    pub bound: u32,
    /// Clients, each with one request at a time.
    pub clients: u32,
    /// Requests a second of each client.
    pub rate: u32,
    /// Whether the planned mode promises to stay within the budget. The server's limit always holds.
    pub planned: bool,
    /// Whether the scenario is also possible with a plain Deployment.
    pub plain: bool,
    /// Runs it, and waits until the service has settled.
    pub run: fn(&Subject<'_>),
}

/// All of them, in the order of the document.
pub const ALL: &[Scenario] = &[
    Scenario {
        plain: true,
        ..few("rolling-update", "Rolling update", actions::rolling_update)
    },
    scaled(
        "scaled-out-and-in",
        "Rolling update while the autoscaler adds three pods; another while it removes them",
        actions::scaled_out_and_in,
    ),
    Scenario {
        // Half of the connections: more clients would wait too long.
        clients: CLIENTS / 2,
        ..few(
            "budget-halved",
            "The budget is halved",
            actions::budget_halved,
        )
    },
    Scenario {
        bound: 40,
        ..few(
            "budget-doubled",
            "The budget is doubled",
            actions::budget_doubled,
        )
    },
    Scenario {
        // For a while there are two pods with two connections each: more clients would wait too long.
        clients: CLIENTS / 2,
        ..scaled(
            "maximum-beyond-budget",
            "The autoscaler's maximum is raised beyond what the budget allows",
            actions::maximum_beyond_budget,
        )
    },
    few(
        "five-changes-in-a-minute",
        "The pod template changes five times within a minute",
        actions::five_changes,
    ),
    few(
        "bad-image",
        "An image that does not exist, then the former one",
        actions::bad_image,
    ),
    few(
        "grace-lowered",
        "The grace period is lowered while a pod of a rollout ignores SIGTERM",
        actions::grace_lowered,
    ),
    few(
        "ignores-sigterm",
        "A pod of a rollout ignores SIGTERM",
        actions::ignores_sigterm,
    ),
    few(
        "killed-with-locked-table",
        "A pod is killed while its queries wait for a table that is locked for 20 s",
        actions::killed_with_locked_table,
    ),
    few(
        "operator-killed",
        "The operator is killed twice during a rollout",
        actions::operator_killed,
    ),
    few(
        "api-server-away",
        "The API server hangs for 30 s during a rollout",
        actions::api_server_unavailable,
    ),
    few(
        "secret-rotated",
        "The account has another password",
        actions::secret_rotated,
    ),
    Scenario {
        plain: true,
        ..few(
            "node-drained",
            "`kubectl drain` of a node",
            actions::node_drained,
        )
    },
    few(
        "drained-during-rollout",
        "`kubectl drain` of a node during a rollout",
        actions::drained_during_rollout,
    ),
    Scenario {
        service: bare(Pods::Fixed(1), 20),
        // As many as one pod has connections in planned mode.
        clients: 6,
        ..few(
            "only-pod-drained",
            "`kubectl drain` of the node of the only pod",
            actions::only_pod_drained,
        )
    },
    Scenario {
        service: Service {
            kind: Kind::Provisioned,
            ..FEW
        },
        ..few(
            "provisioned",
            "Rolling update, with an account that the operator has created and limited",
            actions::rolling_update,
        )
    },
    Scenario {
        plain: true,
        ..few(
            "evicted",
            "All pods are evicted, as by draining their nodes",
            actions::evicted,
        )
    },
    Scenario {
        planned: false,
        plain: true,
        ..few(
            "pods-deleted",
            "`kubectl delete pod` of all pods",
            actions::pods_deleted,
        )
    },
    Scenario {
        planned: false,
        ..few(
            "rollout-restart",
            "`kubectl rollout restart` of the Deployment",
            actions::rollout_restart,
        )
    },
    Scenario {
        planned: false,
        ..few(
            "deployment-scaled",
            "`kubectl scale` of the Deployment to 9 pods",
            actions::deployment_scaled,
        )
    },
    Scenario {
        service: bare(Pods::Fixed(10), 100),
        bound: 100,
        rate: MODERATE,
        plain: true,
        ..few(
            "rollout-of-10",
            "Rolling update of 10 pods",
            actions::rollout_of_10,
        )
    },
    Scenario {
        service: bare(Pods::Fixed(20), 100),
        bound: 100,
        rate: MODERATE,
        plain: true,
        ..few(
            "rollout-of-20",
            "Rolling update of 20 pods",
            actions::rollout_of_20,
        )
    },
];

const fn bare(pods: Pods, budget: u32) -> Service {
    Service {
        pods,
        budget,
        kind: Kind::Bare,
    }
}

const fn few(name: &'static str, what: &'static str, run: fn(&Subject<'_>)) -> Scenario {
    Scenario {
        name,
        what,
        service: FEW,
        bound: FEW.budget,
        clients: CLIENTS,
        rate: BUSY,
        planned: true,
        plain: false,
        run,
    }
}

const fn scaled(name: &'static str, what: &'static str, run: fn(&Subject<'_>)) -> Scenario {
    Scenario {
        service: SCALED,
        bound: SCALED.budget,
        ..few(name, what, run)
    }
}
