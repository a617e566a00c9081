//! The `RecommendationService`s: a small snapshot of each, written by a reconcile and read by a scrape.
//!
//! Only the leader exposes snapshots: those of existing resources that were taken since it became the leader. So the
//! number of resources bounds the number of series, and no series remains after its resource.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::reflector::Store;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use std::collections::{HashMap, HashSet};
use std::fmt::{Debug, Formatter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known whether it holds.
    Unknown,
}

impl ConditionStatus {
    const ALL: [Self; 3] = [Self::True, Self::False, Self::Unknown];

    /// Its value of the label `status`.
    fn label(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Unknown => "unknown",
        }
    }

    /// Parses the status of a condition.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// A condition of a resource. Type and reason are label values, so both are from closed sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type.
    pub type_: &'static str,
    /// Its status.
    pub status: ConditionStatus,
    /// Its reason. `None`: not one of the operator's.
    pub reason: Option<&'static str>,
}

/// Pods of a resource. All 0 while there is no Deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// `spec.replicas` of the Deployment.
    pub desired: u32,
    /// Pods that exist, without terminating ones.
    pub current: u32,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that have the newest template.
    pub updated: u32,
}

/// The result of a reconcile of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The UID of the resource, because a later resource may have the same name.
    pub uid: String,
    /// Each type at most once.
    pub conditions: Vec<Condition>,
    /// Pods.
    pub replicas: Replicas,
    /// `connectionBudget`. `None`, like the next two: the resource has never been valid.
    pub budget: Option<u32>,
    /// Connections of the budget that pods do not get.
    pub reserved: Option<u32>,
    /// Pool size of one pod.
    pub pool: Option<u32>,
    /// Connections that the pods can open before the operator writes again. `None`: unknown.
    pub worst_case: Option<u32>,
    /// Whether the database server enforces the budget. `None`: it is not decided yet.
    pub by_server: Option<bool>,
    /// Generation that the status describes. `None`: it has none yet.
    pub observed_generation: Option<i64>,
}

/// Snapshots by namespace and name.
#[derive(Default)]
pub struct Resources(Mutex<Known>);

#[derive(Default)]
struct Known {
    existing: Vec<Store<DynamicObject>>,
    snapshots: HashMap<(String, String), (Instant, Snapshot)>,
    leads_since: Option<Instant>,
}

impl Resources {
    /// Adds the resources of a watch.
    pub fn watch(&self, existing: Store<DynamicObject>) {
        self.known().existing.push(existing);
    }

    /// Replaces the snapshot of a resource.
    pub fn put(&self, namespace: &str, name: &str, snapshot: Snapshot) {
        let key = (namespace.to_owned(), name.to_owned());
        self.known()
            .snapshots
            .insert(key, (Instant::now(), snapshot));
    }

    /// Drops the snapshots of resources that no longer exist. Scrapes leave them out already.
    pub fn keep_existing(&self) {
        let known = &mut *self.known();
        let existing: HashSet<String> = known.services().filter_map(|it| it.uid()).collect();
        known
            .snapshots
            .retain(|_, (_, snapshot)| existing.contains(&snapshot.uid));
    }

    /// Exposes the snapshots that were taken since then. `None`: another operator leads, none is exposed.
    pub(super) fn publish_from(&self, leads_since: Option<Instant>) {
        self.known().leads_since = leads_since;
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.known().snapshots.len()
    }
}

impl Debug for Resources {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Resources").finish_non_exhaustive()
    }
}

/// A resource that exists, with its snapshot if there is one to expose.
struct Shown<'a> {
    namespace: &'a str,
    name: &'a str,
    generation: i64,
    snapshot: Option<&'a Snapshot>,
}

impl Shown<'_> {
    fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.snapshot.iter().flat_map(|it| &it.conditions)
    }
}

impl Known {
    fn services(&self) -> impl Iterator<Item = Arc<DynamicObject>> {
        self.existing.iter().flat_map(Store::state)
    }

    fn snapshot_of(&self, service: &DynamicObject) -> Option<&Snapshot> {
        let key = (service.namespace()?, service.name_any());
        let (taken, snapshot) = self.snapshots.get(&key)?;
        let is_own = service.metadata.uid.as_ref() == Some(&snapshot.uid);
        (is_own && self.leads_since? <= *taken).then_some(snapshot)
    }
}

/// Encodes [`Resources`] at each scrape.
#[derive(Debug)]
pub(super) struct ResourcesCollector(pub(super) Arc<Resources>);

impl Collector for ResourcesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let known = self.0.known();
        let mut existing: Vec<_> = known.services().collect();
        encoder
            .encode_descriptor(
                "reckon_operator_resources",
                "RecommendationServices in the namespaces that this operator watches.",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&existing.len())?;
        if known.leads_since.is_none() {
            return Ok(());
        }
        existing.sort_by(|a, b| {
            let key = |service: &DynamicObject| (service.namespace(), service.name_any());
            key(a).cmp(&key(b))
        });
        let shown: Vec<Shown> = existing
            .iter()
            .map(|service| Shown {
                namespace: service.metadata.namespace.as_deref().unwrap_or_default(),
                name: service.metadata.name.as_deref().unwrap_or_default(),
                generation: service.metadata.generation.unwrap_or_default(),
                snapshot: known.snapshot_of(service),
            })
            .collect();
        encode_resources(&mut encoder, &shown)
    }
}

fn encode_resources(encoder: &mut DescriptorEncoder, shown: &[Shown]) -> std::fmt::Result {
    conditions(encoder, shown)?;
    reasons(encoder, shown)?;
    replicas(encoder, shown)?;
    gauge(
        encoder,
        "budget_connections",
        "Database connections that the resource may use in total (connectionBudget).",
        shown,
        |it| it.snapshot?.budget,
    )?;
    gauge(
        encoder,
        "reserved_connections",
        "Connections of the budget that the pods do not get (reservedConnections).",
        shown,
        |it| it.snapshot?.reserved,
    )?;
    gauge(
        encoder,
        "pool_connections",
        "Pool size of one pod: its connections at most.",
        shown,
        |it| it.snapshot?.pool,
    )?;
    gauge(
        encoder,
        "worst_case_connections",
        "Connections that the pods and the training can open before the operator writes again. While the operator's plan enforces the budget: at most the budget minus the reserved connections, except while a lowered budget is rolled out or a terminating pod is stuck. While the server enforces the budget: at most what the server allows, which is at most the budget.",
        shown,
        |it| it.snapshot?.worst_case,
    )?;
    gauge(
        encoder,
        "server_enforces_budget",
        "1 if the database server keeps the pods within the budget by a limit of their account, 0 if a plan does.",
        shown,
        |it| it.snapshot?.by_server.map(u32::from),
    )?;
    gauge(
        encoder,
        "generation",
        "Generation of the resource.",
        shown,
        |it| Some(it.generation),
    )?;
    gauge(
        encoder,
        "observed_generation",
        "Generation that the status of the resource describes.",
        shown,
        |it| it.snapshot?.observed_generation,
    )
}

fn conditions(encoder: &mut DescriptorEncoder, shown: &[Shown]) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(
        "reckon_recommendationservice_condition",
        "1 for the status that the condition has, 0 for the others.",
        None,
        MetricType::Gauge,
    )?;
    for it in shown {
        for is in it.conditions() {
            for status in ConditionStatus::ALL {
                let labels = [
                    ("namespace", it.namespace),
                    ("name", it.name),
                    ("type", is.type_),
                    ("status", status.label()),
                ];
                family
                    .encode_family(&labels)?
                    .encode_gauge(&u32::from(is.status == status))?;
            }
        }
    }
    Ok(())
}

/// Reasons are a separate family of metrics. If the reason were a label of the status, each change of the reason would
/// begin new series, and an alert on the status would start to wait again.
fn reasons(encoder: &mut DescriptorEncoder, shown: &[Shown]) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(
        "reckon_recommendationservice_condition_reason",
        "1 for the status and the reason that the condition has. Other reasons have no series.",
        None,
        MetricType::Gauge,
    )?;
    for it in shown {
        for is in it.conditions() {
            let labels = [
                ("namespace", it.namespace),
                ("name", it.name),
                ("type", is.type_),
                ("status", is.status.label()),
                ("reason", is.reason.unwrap_or("other")),
            ];
            family.encode_family(&labels)?.encode_gauge(&1)?;
        }
    }
    Ok(())
}

fn replicas(encoder: &mut DescriptorEncoder, shown: &[Shown]) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(
        "reckon_recommendationservice_replicas",
        "API pods by state. desired: spec.replicas of the Deployment; current: existing pods without terminating ones; ready, updated: those of the current pods that are ready, or have the newest template.",
        None,
        MetricType::Gauge,
    )?;
    for it in shown {
        let Some(snapshot) = it.snapshot else {
            continue;
        };
        let Replicas {
            desired,
            current,
            ready,
            updated,
        } = snapshot.replicas;
        for (state, pods) in [
            ("desired", desired),
            ("current", current),
            ("ready", ready),
            ("updated", updated),
        ] {
            let labels = [
                ("namespace", it.namespace),
                ("name", it.name),
                ("state", state),
            ];
            family.encode_family(&labels)?.encode_gauge(&pods)?;
        }
    }
    Ok(())
}

/// One series for each resource that has a value.
fn gauge<V: EncodeGaugeValue>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    shown: &[Shown],
    value: impl Fn(&Shown) -> Option<V>,
) -> std::fmt::Result {
    let name = format!("reckon_recommendationservice_{name}");
    let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
    for it in shown {
        if let Some(value) = value(it) {
            let labels = [("namespace", it.namespace), ("name", it.name)];
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
    }
    Ok(())
}
