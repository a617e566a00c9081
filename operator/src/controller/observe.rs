//! Reads the present state; the only reader. It normally reads from memory. [`confirm`] queries the API server before a
//! write that the connection budget depends on.

mod control;
pub mod live;
pub mod secrets;
mod witnesses;

pub use control::is_controlled_by;

use super::context::Context;
use super::desired::{Facts, Resources, labels, training};
use super::error::Error;
use super::instance::Instance;
use super::json_text::unpack;
use super::kind::Kind;
use super::runs::{self, is_run};
use super::server_promises::{self, Promise};
use super::stores::{Stores, service_resource};
use crate::health::Health;
use crate::tuning::enforcement::Witness;
use crate::tuning::plan::{Live, LivePod};
use futures_util::future::{try_join_all, try_join4};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DynamicObject, ListParams, LogParams, ObjectMeta};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use reckon_contract::provisioning::Owner;
use secrets::SecretState;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use witnesses::witnesses;

/// The observed state of a resource.
#[derive(Debug, Default)]
pub struct Observed {
    /// Children that this resource controls, without the fields that the operator does not need.
    pub children: BTreeMap<(Kind, String), Arc<DynamicObject>>,
    /// Secrets that the resource refers to, or that the operator created for it.
    pub secrets: BTreeMap<String, SecretState>,
    /// Input of the connection budget's plan.
    pub live: Live,
    /// The pods, with their last reports about their sessions.
    pub witnesses: Vec<Witness>,
    /// Names of tunings that pods use.
    pub tunings_in_use: Vec<String>,
    /// Digests of the Secrets that pods read at startup.
    pub secrets_in_use: Vec<String>,
    /// The last report of the pods about database and cache.
    pub health: Option<Health>,
    /// Why pods do not start, as kubelet, scheduler or API server reports it.
    pub pod_trouble: Option<String>,
    /// If the rollout has made no progress for as long as the Deployment allows: since when, and which pod is not
    /// ready.
    pub stuck_rollout: Option<String>,
    /// The image that the pods run, as the operator wrote it.
    pub image: Option<String>,
    /// Last lines of a migration that failed.
    pub migration_log: Option<String>,
    /// This resource as the owner of a provisioned database.
    pub owner: Option<Owner>,
    /// Connections promised to other resources on the same database server, the greatest first; empty unless the database is
    /// provisioned.
    pub neighbours: Vec<Promise>,
    /// `max_connections` of the database server, as last reported.
    pub server_limit: Option<u32>,
}

impl Observed {
    /// A child that this resource controls.
    #[must_use]
    pub fn child(&self, kind: Kind, name: &str) -> Option<&DynamicObject> {
        self.children
            .get(&(kind, name.to_owned()))
            .map(AsRef::as_ref)
    }

    /// Whether the wanted migration exists.
    #[must_use]
    pub fn has_migration(&self, resources: &Resources) -> bool {
        let wanted = resources.migration.as_ref();
        let name = wanted.and_then(|job| job["metadata"]["name"].as_str());
        name.is_some_and(|name| self.child(Kind::Job, name).is_some())
    }

    /// The training's `CronJob`.
    #[must_use]
    pub fn cron_job(&self, instance: &Instance) -> Option<&DynamicObject> {
        self.child(Kind::CronJob, &training::name(instance))
    }

    /// Whether a training is running.
    #[must_use]
    pub fn trains(&self, instance: &Instance) -> bool {
        self.cron_job(instance).is_some_and(live::is_training)
    }

    /// The facts about the cluster that determine the children.
    #[must_use]
    pub fn facts(&self, instance: &Instance) -> Facts {
        let of_several = |digests: &[&[u8]]| secrets::keyed(&[], digests);
        self.digests(instance, SecretState::digest, of_several)
    }

    /// The same with unkeyed digests, if the present pods were created with them and no Secret has changed since.
    #[must_use]
    pub fn unkeyed_facts(&self, instance: &Instance) -> Option<Facts> {
        let facts = self.digests(instance, SecretState::unkeyed, secrets::unkeyed);
        let deployment = self.child(Kind::Deployment, &instance.name)?;
        let used = live::secrets_of_template(deployment)?;
        (used == facts.secrets_digest).then_some(facts)
    }

    fn digests(
        &self,
        instance: &Instance,
        digest: fn(&SecretState) -> &str,
        of_several: impl Fn(&[&[u8]]) -> String,
    ) -> Facts {
        let state = |name: &str| self.secrets.get(name).map(digest).unwrap_or_default();
        let database = instance.database();
        let names = [
            Some(instance.database_secret()),
            database.tls.and_then(|tls| tls.ca_secret_name.clone()),
            instance.redis_secret(),
            instance.redis.as_ref().and_then(|redis| {
                redis
                    .external
                    .as_ref()?
                    .tls
                    .as_ref()?
                    .ca_secret_name
                    .clone()
            }),
        ];
        let at_start: Vec<&[u8]> = names
            .iter()
            .flatten()
            .map(|name| state(name).as_bytes())
            .collect();
        Facts {
            secrets_digest: of_several(&at_start),
            redis_digest: state(&instance.child("redis")).to_owned(),
            migration_digest: instance
                .migration_secret()
                .map(|name| {
                    let authorities = names[1].as_deref().map(state).unwrap_or_default();
                    of_several(&[state(&name).as_bytes(), authorities.as_bytes()])
                })
                .unwrap_or_default(),
        }
    }
}

/// Reads the present state.
///
/// # Errors
/// A read from the API server failed.
pub async fn observe(instance: &Instance, ctx: &Context) -> Result<Observed, Error> {
    let stores = &ctx.stores;
    let children = children(instance, stores);
    let pods = stores.pods.of(&instance.namespace, &instance.name);
    let secrets = secrets::states(instance, ctx).await?;
    let child = |kind| {
        children
            .get(&(kind, instance.name.clone()))
            .map(AsRef::as_ref)
    };
    let deployment = child(Kind::Deployment);
    let fence = secrets
        .get(&instance.database_secret())
        .and_then(SecretState::fence);
    let cron_job = children.get(&(Kind::CronJob, training::name(instance)));
    let live = Live {
        training: live::training(cron_job.map(AsRef::as_ref)),
        evictions: child(Kind::PodDisruptionBudget).and_then(live::evictions),
        ..live::live(
            deployment,
            child(Kind::HorizontalPodAutoscaler),
            pods.iter().map(|pod| live::pod(&pod.metadata)).collect(),
            fence,
        )
    };
    let PodTrouble { start, stuck } = match deployment {
        Some(deployment) if live::is_short_of_pods(deployment) => {
            pod_trouble(instance, ctx, deployment, !pods.is_empty()).await?
        }
        _ => PodTrouble::default(),
    };
    let mut observed = Observed {
        live,
        tunings_in_use: live::tunings(deployment, &pods),
        secrets_in_use: live::secrets(&pods),
        health: ctx.health.of(&instance.namespace, &instance.name),
        witnesses: witnesses(
            &pods,
            &stores.addresses.of(&instance.namespace, &instance.name),
            &ctx.health.reports(&instance.namespace, &instance.name),
        ),
        secrets,
        pod_trouble: start,
        stuck_rollout: stuck,
        image: deployment.and_then(live::image),
        migration_log: migration_log(instance, &children, ctx).await?,
        owner: owner(instance, ctx).await?,
        neighbours: neighbours(instance, stores),
        server_limit: runs::server_limit(instance, &children),
        children,
    };
    name_nodes(instance, ctx, &mut observed.live).await?;
    Ok(observed)
}

/// Reads Deployment, autoscaler, `PodDisruptionBudget` and training at once, and then the pods, directly from the API server,
/// the first three with their `resourceVersion`.
///
/// # Errors
/// As for [`observe`].
pub async fn confirm(
    instance: &Instance,
    ctx: &Context,
    fence: Option<u32>,
) -> Result<Confirmed, Error> {
    let get = async |kind: Kind, name: &str| {
        let api: Api<DynamicObject> =
            Api::namespaced_with(ctx.client.clone(), &instance.namespace, &kind.resource());
        let object = api.get_opt(name).await.map_err(Error::read(kind.name()))?;
        Ok::<_, Error>(object.filter(|object| is_controlled_by(&object.metadata, &instance.uid)))
    };
    let training = training::name(instance);
    let (deployment, hpa, evictions, cron_job) = try_join4(
        get(Kind::Deployment, &instance.name),
        get(Kind::HorizontalPodAutoscaler, &instance.name),
        get(Kind::PodDisruptionBudget, &instance.name),
        get(Kind::CronJob, &training),
    )
    .await?;
    let pods: Api<Pod> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let selection = ListParams::default()
        .labels(&format!(
            "{},{}={}",
            labels::API_PODS,
            labels::INSTANCE,
            instance.name
        ))
        .fields("status.phase!=Failed,status.phase!=Succeeded");
    // The pods are read last, so that their list is not older than the Deployment's status.
    let pods = pods
        .list_metadata(&selection)
        .await
        .map_err(Error::read("pods"))?;
    let mut live = live::live(
        deployment.as_ref(),
        hpa.as_ref(),
        pods.items
            .iter()
            .map(|pod| live::pod(&pod.metadata))
            .collect(),
        fence,
    );
    live.training = live::training(cron_job.as_ref());
    live.evictions = evictions.as_ref().and_then(live::evictions);
    name_nodes(instance, ctx, &mut live).await?;
    Ok(Confirmed {
        deployment_version: deployment.and_then(|deployment| deployment.resource_version()),
        hpa_window: hpa.as_ref().and_then(live::window),
        hpa_version: hpa.and_then(|hpa| hpa.resource_version()),
        evictions_version: evictions.and_then(|budget| budget.resource_version()),
        live,
    })
}

/// The state as the API server returned it.
pub struct Confirmed {
    /// Input of a plan.
    pub live: Live,
    /// `resourceVersion` of the Deployment, if there is one.
    pub deployment_version: Option<String>,
    /// The autoscaler's stabilisation window.
    pub hpa_window: Option<Duration>,
    /// `resourceVersion` of the autoscaler, if there is one.
    pub hpa_version: Option<String>,
    /// `resourceVersion` of the `PodDisruptionBudget`, if there is one.
    pub evictions_version: Option<String>,
}

/// The Deployment of a resource, without unneeded fields. The resource may be invalid.
#[must_use]
pub fn deployment_of(service: &DynamicObject, stores: &Stores) -> Option<DynamicObject> {
    let (namespace, name) = (service.namespace()?, service.name_any());
    let uid = service.uid()?;
    let deployments = stores.children.get(&Kind::Deployment)?;
    let own = deployments.of(&namespace, &name);
    own.into_iter()
        .find(|child| child.name_any() == name && is_controlled_by(&child.metadata, &uid))
}

fn children(instance: &Instance, stores: &Stores) -> BTreeMap<(Kind, String), Arc<DynamicObject>> {
    let mut children = BTreeMap::new();
    for (kind, store) in &stores.children {
        // A deleted resource of the same name may have left objects.
        let own = store.of(&instance.namespace, &instance.name).into_iter();
        for child in own.filter(|child| is_controlled_by(&child.metadata, &instance.uid)) {
            children.insert((*kind, child.name_any()), Arc::new(child));
        }
    }
    children
}

/// The promises of other resources. Empty unless the database is provisioned, because otherwise the server's limit is
/// unknown.
fn neighbours(instance: &Instance, stores: &Stores) -> Vec<Promise> {
    if instance.mysql.provisioned.is_none() {
        return Vec::new();
    }
    let services = stores.everywhere();
    server_promises::neighbours(instance, services.iter().map(AsRef::as_ref))
}

/// Adds the names of nodes, which a watch of metadata does not contain. The node is queried only for a pod that is
/// overdue.
async fn name_nodes(instance: &Instance, ctx: &Context, live: &mut Live) -> Result<(), Error> {
    let now = jiff::Timestamp::now();
    let overdue = |pod: &&mut LivePod| pod.deletion.is_some_and(|deletion| deletion.due < now);
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    for pod in live.pods.iter_mut().filter(overdue) {
        let found = api.get_opt(&pod.name).await.map_err(Error::read("pod"))?;
        pod.node = found.and_then(|found| found.spec?.node_name);
    }
    Ok(())
}

/// Why pods are not ready.
#[derive(Debug, Default)]
struct PodTrouble {
    /// Why pods do not start.
    start: Option<String>,
    /// For a stuck rollout: since when, and at which pod.
    stuck: Option<String>,
}

async fn pod_trouble(
    instance: &Instance,
    ctx: &Context,
    deployment: &DynamicObject,
    has_pods: bool,
) -> Result<PodTrouble, Error> {
    let since = live::stuck_since(deployment);
    let stuck = |pods: &[Pod]| {
        let pod = live::unready(pods).unwrap_or_else(|| "no pod of it exists".to_owned());
        since.map(|since| format!("the rollout was marked as stuck at {since}: {pod}"))
    };
    let failure = live::replica_failure(deployment);
    // Pods that do not exist have no status to read.
    if failure.is_some() || !has_pods {
        let stuck = stuck(&[]);
        return Ok(PodTrouble {
            start: failure,
            stuck,
        });
    }
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let selection = ListParams::default().labels(&format!(
        "{},{}={}",
        labels::API_PODS,
        labels::INSTANCE,
        instance.name
    ));
    let pods = api.list(&selection).await.map_err(Error::read("pods"))?;
    Ok(PodTrouble {
        start: pods.items.iter().find_map(live::trouble),
        stuck: stuck(&pods.items),
    })
}

/// How many lines of a migration's output a condition shows.
const LOG_LINES: i64 = 5;
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

async fn migration_log(
    instance: &Instance,
    children: &BTreeMap<(Kind, String), Arc<DynamicObject>>,
    ctx: &Context,
) -> Result<Option<String>, Error> {
    let unsuccessful = children
        .iter()
        .filter(|((kind, _), job)| *kind == Kind::Job && !is_run(job))
        .find(|(_, job)| {
            job.data["status"]["failed"].as_i64().unwrap_or(0) > 0
                && job.data["status"]["succeeded"].is_null()
        });
    let Some(((_, name), _)) = unsuccessful else {
        return Ok(None);
    };
    let api: Api<Pod> = Api::namespaced(ctx.client.clone(), &instance.namespace);
    let selection = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={name}"));
    let mut pods = api
        .list_metadata(&selection)
        .await
        .map_err(Error::read("pods"))?
        .items;
    pods.sort_by_key(|pod| pod.meta().creation_timestamp.clone());
    let parameters = LogParams {
        tail_lines: Some(LOG_LINES),
        ..LogParams::default()
    };
    // The newest pod may not have started.
    for pod in pods.iter().rev() {
        let name = pod.name_any();
        if let Ok(Ok(log)) = timeout(LOG_TIMEOUT, api.logs(&name, &parameters)).await
            && !log.trim().is_empty()
        {
            return Ok(Some(log.trim().to_owned()));
        }
    }
    Ok(None)
}

async fn owner(instance: &Instance, ctx: &Context) -> Result<Option<Owner>, Error> {
    if instance.mysql.provisioned.is_none() {
        return Ok(None);
    }
    let cluster = ctx.cluster.get_or_try_init(async || {
        let api: Api<Namespace> = Api::all(ctx.client.clone());
        let system = api
            .get("kube-system")
            .await
            .map_err(Error::read("namespace kube-system"))?;
        Ok::<_, Error>(system.uid().unwrap_or_default())
    });
    Ok(Some(Owner {
        cluster: cluster.await?.clone(),
        namespace: instance.namespace.clone(),
        name: instance.name.clone(),
        uid: instance.uid.clone(),
    }))
}

/// Whether the API server has the version of the resource that `instance` was parsed from. The watch can be late, and the
/// present version can require an object that the older one does not.
///
/// # Errors
/// As for [`observe`].
pub async fn is_current(instance: &Instance, ctx: &Context) -> Result<bool, Error> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(ctx.client.clone(), &instance.namespace, &service_resource());
    let found = api
        .get_metadata_opt(&instance.name)
        .await
        .map_err(Error::read("RecommendationService"))?;
    Ok(found.is_some_and(|found| is_same(&found.metadata, instance)))
}

fn is_same(metadata: &ObjectMeta, instance: &Instance) -> bool {
    metadata.uid.as_ref() == Some(&instance.uid)
        && metadata.generation == Some(instance.generation)
        && metadata.deletion_timestamp.is_none()
}

/// Whether the namespace is being deleted, so that no object can be created in it. This is queried only before an
/// object is created.
///
/// # Errors
/// As for [`observe`].
pub async fn is_ending(instance: &Instance, ctx: &Context) -> Result<bool, Error> {
    if ctx
        .stores
        .children
        .get(&Kind::ServiceAccount)
        .is_some_and(|accounts| {
            let own = accounts.of(&instance.namespace, &instance.name);
            own.iter()
                .any(|account| account.metadata.deletion_timestamp.is_none())
        })
    {
        return Ok(false);
    }
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let found = api
        .get_metadata_opt(&instance.namespace)
        .await
        .map_err(Error::read("namespace"))?;
    Ok(found.is_none_or(|found| found.metadata.deletion_timestamp.is_some()))
}

/// Which of the named children exist and are controlled by another owner, or by none.
///
/// # Errors
/// As for [`observe`].
pub async fn foreign(
    absent: &BTreeSet<(Kind, String)>,
    instance: &Instance,
    ctx: &Context,
) -> Result<Vec<(Kind, String)>, Error> {
    let look = async |(kind, name): &(Kind, String)| {
        let api: Api<DynamicObject> =
            Api::namespaced_with(ctx.client.clone(), &instance.namespace, &kind.resource());
        let found = api
            .get_metadata_opt(name)
            .await
            .map_err(Error::read(kind.name()))?;
        let is_foreign =
            found.is_some_and(|found| !is_controlled_by(&found.metadata, &instance.uid));
        Ok::<_, Error>(is_foreign.then(|| (*kind, name.clone())))
    };
    let found = try_join_all(absent.iter().map(look)).await?;
    Ok(found.into_iter().flatten().collect())
}

/// The resource as the store has it now.
#[must_use]
pub fn service(reference: &ObjectRef<DynamicObject>, ctx: &Context) -> Option<DynamicObject> {
    let mut service = DynamicObject::clone(&*ctx.stores.services.get(reference)?);
    if let Some(status) = service.data.get_mut("status") {
        unpack(status);
    }
    Some(service)
}

#[cfg(test)]
mod tests;
