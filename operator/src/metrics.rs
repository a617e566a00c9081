//! The operator's own metrics; those that controller-runtime has go by its names, so that dashboards for it work.

use crate::tuning::plan::Action;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::time::Duration;

const CONTROLLER: &str = "recommendationservice";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reconciled {
    controller: &'static str,
    result: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the labels' values")]
enum Outcome {
    success,
    error,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Written {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Acted {
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Panicked {
    task: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconciled, Counter>,
    seconds: Histogram,
    writes: Family<Written, Counter>,
    actions: Family<Acted, Counter>,
    panics: Family<Panicked, Counter>,
    leader: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let reconciles = Family::<Reconciled, Counter>::default();
        // One that has nothing to do takes a millisecond or less, and none more than its deadline of a minute.
        let seconds = Histogram::new([
            0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
            10.0, 30.0, 60.0,
        ]);
        let writes = Family::<Written, Counter>::default();
        let actions = Family::<Acted, Counter>::default();
        let panics = Family::<Panicked, Counter>::default();
        // Made before the first panic: a rate needs a zero to begin with.
        for task in ["reconcile", "health", "servers"] {
            drop(panics.get_or_create(&Panicked { task }));
        }
        let leader = Gauge::default();
        registry.register(
            "reckon_operator_build",
            "The program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by result",
            reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time of a reconcile",
            seconds.clone(),
        );
        registry.register(
            "reckon_operator_writes",
            "Objects that the API server was asked to write, by kind",
            writes.clone(),
        );
        registry.register(
            "reckon_operator_budget_actions",
            "Writes that the connection budget depends on",
            actions.clone(),
        );
        registry.register(
            "reckon_operator_panics",
            "Reconciles and tasks that panicked and were started anew",
            panics.clone(),
        );
        registry.register(
            "leader_election_master_status",
            "1: this operator acts",
            leader.clone(),
        );
        Self {
            registry,
            reconciles,
            seconds,
            writes,
            actions,
            panics,
            leader,
        }
    }
}

impl Metrics {
    /// A reconcile ended.
    pub fn reconciled(&self, took: Duration, success: bool) {
        let result = if success {
            Outcome::success
        } else {
            Outcome::error
        };
        self.reconciles
            .get_or_create(&Reconciled {
                controller: CONTROLLER,
                result,
            })
            .inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// The API server was asked to write.
    pub fn write(&self, kind: &'static str) {
        self.writes.get_or_create(&Written { kind }).inc();
    }

    /// A plan's action was done.
    pub fn action(&self, action: &Action) {
        let action = match action {
            Action::CreateDeployment { .. } => "create_deployment",
            Action::WriteHpa(_) => "write_autoscaler",
            Action::DeleteHpa => "delete_autoscaler",
            Action::Scale { .. } => "scale",
            Action::Pause { .. } => "pause",
            Action::WriteTemplate { .. } => "write_template",
            Action::Unpause => "unpause",
            Action::ForgetFormerPool => "forget_former_pool",
            Action::SetMinReady(_) => "set_min_ready",
            Action::SetFence(_) => "set_fence",
        };
        self.actions.get_or_create(&Acted { action }).inc();
    }

    /// A reconcile or a task panicked.
    pub fn panicked(&self, task: &'static str) {
        self.panics.get_or_create(&Panicked { task }).inc();
    }

    /// The text of a scrape.
    #[must_use]
    pub fn text(&self, leads: bool) -> String {
        self.leader.set(leads.into());
        let mut text = String::new();
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).ok();
        text
    }
}
