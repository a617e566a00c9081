//! The operator's own metrics. Metrics that controller-runtime also has use the same names, so that its dashboards
//! work.

mod labels;
mod queue;
mod reconciles;
mod resources;
mod writes;

pub use resources::{Condition, ConditionStatus, Replicas, Snapshot};
pub use writes::Verb;

use labels::{CONTROLLER, Label};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use queue::Queue;
use reckon_metrics::{Process, Register as _};
use reconciles::Reconciles;
use resources::{Resources, ResourcesCollector};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;
use writes::Writes;

/// Tasks whose panics are caught.
const TASKS: [&str; 3] = ["reconcile", "health", "servers"];

/// All metrics of a scrape.
#[derive(Debug)]
pub struct Metrics {
    /// Reconciles and their workers.
    pub reconciles: Reconciles,
    /// Resources whose change waits for a reconcile.
    pub queue: Arc<Queue>,
    /// Writes to the API server.
    pub writes: Writes,
    /// The resources themselves.
    pub resources: Arc<Resources>,
    registry: Registry,
    panics: Family<Label, Counter>,
    leader: Gauge,
    depth: Gauge,
    last_size: AtomicUsize,
}

impl Metrics {
    /// Metrics without any event yet. `lease` is the name of the Lease that the leader holds.
    #[must_use]
    pub fn new(lease: &str) -> Self {
        let mut registry = Registry::default();
        Process::register(&mut registry);
        registry.register(
            "reckon_operator_build",
            "Version of the operator",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let leaders = Family::<[(&'static str, String); 1], Gauge>::default();
        let leader = leaders.get_or_create_owned(&[("name", lease.to_owned())]);
        registry.register(
            "leader_election_master_status",
            "1 if this operator holds the Lease and acts, 0 if it is a standby",
            leaders,
        );
        let [depth] = registry.add_labelled(
            "workqueue_depth",
            "Resources with a change that no reconcile has picked up yet. Retries and periodic reconciles that are due are not counted",
            "name",
            [CONTROLLER],
        );
        let panics = registry.add(
            "reckon_operator_panics",
            "Panics by task. The reconcile is retried, the task is restarted",
            Family::<Label, Counter>::default(),
        );
        for task in TASKS {
            // The series exists from the start, so that a rate starts from zero.
            panics.get_or_create_owned(&[("task", task)]);
        }
        let reconciles = Reconciles::register(&mut registry);
        let writes = Writes::register(&mut registry);
        let resources = Arc::<Resources>::default();
        registry.register_collector(Box::new(ResourcesCollector(Arc::clone(&resources))));
        Self {
            reconciles,
            queue: Arc::default(),
            writes,
            resources,
            registry,
            panics,
            leader,
            depth,
            last_size: AtomicUsize::new(0),
        }
    }

    /// A reconcile or a task panicked.
    pub fn panicked(&self, task: &'static str) {
        self.panics.get_or_create(&[("task", task)]).inc();
    }

    /// The text of a scrape. `leads_since`: when this operator started to lead; `None`: it does not lead.
    #[must_use]
    pub fn text(&self, leads_since: Option<Instant>) -> String {
        self.leader.set(leads_since.is_some().into());
        self.depth
            .set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
        self.resources.publish_from(leads_since);
        // The buffer is slightly larger than the last text, because growing step by step would take up to twice the
        // memory.
        let last = self.last_size.load(Ordering::Relaxed);
        let mut text = String::with_capacity(last + last / 16);
        // Writing to a String cannot fail.
        encode(&mut text, &self.registry).ok();
        self.last_size.store(text.len(), Ordering::Relaxed);
        text
    }
}

#[cfg(test)]
mod tests;
