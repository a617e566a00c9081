//! The provisioned database: a Job for each step, its outcome, and the next step.
//!
//! The author of a resource chooses the server, which may be slow, silent or hostile. So the operator never connects to a
//! server. Jobs in the resource's namespace connect to it, one Job at a time for each resource, and the operator reads their
//! reports.

mod grants;
mod report;

use super::context::Context;
use super::deletion::is_deleted;
use super::desired::labels::{INSTANCE, PROVISION_JOBS};
use super::desired::provision::Wanted;
use super::error::Error;
use super::instance::Instance;
use super::kind::Kind;
use super::known_jobs::Unseen;
use super::observe::secrets::{FENCE, SecretState};
use super::observe::{Observed, is_controlled_by};
use super::runs::{self, Look, Next, REPORT, Run, State, look};
use super::stores;
use crate::metrics::Verb;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Secret};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Resource as _, ResourceExt as _};
use reckon_contract::health;
use reckon_contract::provisioning::{self, Facts, Reason, Report, Step, Task};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a successful run stays valid.
const VALID_FOR: Duration = Duration::from_hours(1);
/// How long a successful run stays valid while the pods report that the database rejects them.
const VALID_FOR_IF_REJECTED: Duration = Duration::from_mins(1);
/// If a Job's pod has not started after this time, the reason is queried.
const STALLED: Duration = Duration::from_secs(15);
/// How often a running Job is checked. Its end triggers a reconcile.
const RECHECK_PAUSE: Duration = Duration::from_secs(5);
/// How long the watch may take to report a created Job.
const UNSEEN: Duration = Duration::from_secs(30);

/// The outcome of provisioning.
#[derive(Clone, Debug, PartialEq)]
pub enum Provisioning {
    /// Everything exists.
    Done(Box<Facts>),
    /// A required Secret does not exist yet.
    Waiting,
    /// No Job has ended yet.
    Pending,
    /// Provisioning failed.
    Failed(Failure),
}

/// Why provisioning failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason of a condition.
    pub reason: Reason,
    /// Why, in a sentence.
    pub message: String,
}

/// The provisioning Jobs of a resource.
pub struct Database<'a> {
    instance: &'a Instance,
    observed: &'a Observed,
    ctx: &'a Arc<Context>,
    runs: Vec<Run>,
    /// The step of a created Job that the watch has not reported yet.
    unseen: Option<Step>,
    /// Whether a fence has just been recorded, or a Job deleted. The observed state is then outdated.
    is_settling: bool,
    /// Why the pod of the running Job does not start.
    stalled: Option<String>,
}

impl<'a> Database<'a> {
    /// Reads the reports of finished Jobs, and records them and their consequences.
    ///
    /// # Errors
    /// The API server did not answer, or did not accept a write.
    pub async fn settle(
        instance: &'a Instance,
        observed: &'a Observed,
        ctx: &'a Arc<Context>,
    ) -> Result<Self, Error> {
        let mut database = Self {
            instance,
            observed,
            ctx,
            runs: runs::of(&observed.children),
            unseen: None,
            is_settling: false,
            stalled: None,
        };
        if instance.mysql.provisioned.is_none() {
            return Ok(database);
        }
        database.unseen = database.unseen()?;
        for number in 0..database.runs.len() {
            let run = database.runs[number].clone();
            match run.state {
                State::Over { at, .. } => {
                    let report = database.read(&run).await?;
                    database.runs[number].state = State::Reported { at, report };
                }
                State::UnderWay { since: Some(since) } if Timestamp::now() > since + STALLED => {
                    database.ask(&run).await?;
                }
                State::UnderWay { .. } | State::Ending | State::Reported { .. } => {}
            }
        }
        database.note_fences().await?;
        database.note_writes().await?;
        Ok(database)
    }

    fn unseen(&self) -> Result<Option<Step>, Error> {
        self.ctx.known_jobs.with(self.instance, |known| {
            let unseen = known.unseen.take()?;
            let is_seen = self.runs.iter().any(|run| run.name == unseen.name);
            if is_seen || unseen.since.elapsed() > UNSEEN {
                return None;
            }
            let step = unseen.step.clone();
            known.unseen = Some(unseen);
            Some(step)
        })
    }

    /// Reads the report of a finished run, and records it in the Job.
    async fn read(&self, run: &Run) -> Result<Report, Error> {
        let seen = self.ctx.known_jobs.with(self.instance, |known| {
            let stalled = known.stalled.take();
            stalled.and_then(|(uid, why)| (uid == run.uid).then_some(why))
        })?;
        let report = report::report(run, &self.pods(run).await?, seen.as_deref());
        self.ctx.may_act()?;
        let body = json!({
            "metadata": {"uid": run.uid, "annotations": {REPORT: report.to_message()}},
        });
        self.jobs()
            .patch_metadata(&run.name, &PatchParams::default(), &Patch::Merge(&body))
            .await
            .map_err(Error::write("Job", &run.name))?;
        let Instance {
            namespace, name, ..
        } = self.instance;
        match &report {
            Report::Done { changes, .. } if !changes.is_empty() => {
                tracing::info!(%namespace, %name, ?changes, "provisioned the database");
                self.announce().await;
            }
            Report::Done { .. } => {
                let step = run.step.as_ref().map(ToString::to_string);
                tracing::info!(%namespace, %name, step, job = run.name, "provisioning Job completed");
            }
            Report::Failed { reason, message } => {
                tracing::warn!(%namespace, %name, job = run.name, %reason, message, "provisioning Job failed");
            }
        }
        Ok(report)
    }

    /// Queries why the pod of a run in progress does not start.
    async fn ask(&mut self, run: &Run) -> Result<(), Error> {
        let Some(why) = report::stalled(run, &self.pods(run).await?) else {
            return Ok(());
        };
        self.ctx.known_jobs.with(self.instance, |known| {
            known.stalled = Some((run.uid.clone(), why.clone()));
        })?;
        let failure = report::failure(run, &format!("has not ended: {why}"));
        if let Report::Failed { message, .. } = failure {
            self.stalled = Some(message);
        }
        Ok(())
    }

    async fn pods(&self, run: &Run) -> Result<Vec<Pod>, Error> {
        let api: Api<Pod> = Api::namespaced(self.ctx.client.clone(), &self.instance.namespace);
        let label = format!("batch.kubernetes.io/job-name={}", run.name);
        let selection = ListParams::default().labels(&label);
        let pods = api.list(&selection).await.map_err(Error::read("pods"))?;
        Ok(pods.items)
    }

    /// If a run has set a fence, records it in the Secret, and deletes the Job, which is no longer needed.
    async fn note_fences(&mut self) -> Result<(), Error> {
        let set: Vec<Run> = self
            .runs
            .iter()
            .filter(|run| run.fence_set().is_some())
            .cloned()
            .collect();
        let newest = set.iter().max_by_key(|run| run.number);
        if let Some(fence) = newest.and_then(Run::fence_set)
            && self.observed.live.fence != Some(fence)
        {
            self.note_fence(fence).await?;
        }
        for run in &set {
            self.delete(run).await?;
            self.runs.retain(|other| other.uid != run.uid);
            self.is_settling = true;
        }
        if let (None, Some((run, Report::Done { .. }))) =
            (self.observed.live.fence, self.last_ensure())
            && let Some(fence) = run.fence_made()
        {
            self.note_fence(fence.get()).await?;
            self.is_settling = true;
        }
        Ok(())
    }

    async fn note_fence(&self, connections: u32) -> Result<(), Error> {
        self.ctx.may_act()?;
        let api: Api<Secret> = Api::namespaced(self.ctx.client.clone(), &self.instance.namespace);
        let name = self.instance.database_secret();
        let reference = ObjectRef::new(&name).within(&self.instance.namespace);
        let ours = self.ctx.stores.secrets.get(&reference);
        let Some(ours) = ours.filter(|ours| is_controlled_by(ours.meta(), &self.instance.uid))
        else {
            // The Secret was deleted or replaced while the Job ran.
            return Ok(());
        };
        // The patch contains the UID, so that another Secret that has the name in the meantime is not changed.
        let body = json!({"metadata": {"uid": ours.uid(), "annotations": {FENCE: connections.to_string()}}});
        api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&body))
            .await
            .map_err(Error::write("Secret", &name))?;
        Ok(())
    }

    /// Whether the account is being changed. If so, no decision may be based on its former state.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        let under_way = self.runs.iter().filter(|run| run.report().is_none());
        let unseen = self
            .unseen
            .as_ref()
            .is_some_and(|step| !matches!(step, Step::Ensure { .. }));
        self.is_settling || unseen || under_way.into_iter().any(|run| !run.is_ensure())
    }

    /// The outcome of provisioning; `None`: the operator does not manage the database.
    #[must_use]
    pub fn outcome(&self) -> Option<Provisioning> {
        self.instance.mysql.provisioned.as_ref()?;
        if self.ensure_wanted().is_none() {
            return Some(Provisioning::Waiting);
        }
        // While another run is in progress, the outcome of the last one counts.
        Some(match self.last_ensure() {
            Some((_, Report::Done { facts, .. })) => Provisioning::Done(Box::new(facts.clone())),
            Some((_, Report::Failed { reason, message })) => Provisioning::Failed(Failure {
                reason: *reason,
                message: message.clone(),
            }),
            None => match &self.stalled {
                Some(message) => Provisioning::Failed(Failure {
                    reason: Reason::ProvisioningFailed,
                    message: message.clone(),
                }),
                None => Provisioning::Pending,
            },
        })
    }

    /// When to check again without an event.
    #[must_use]
    pub fn look_again(&self, now: Timestamp) -> Option<Duration> {
        self.instance.mysql.provisioned.as_ref()?;
        let Some(wanted) = self.ensure_wanted() else {
            return Some(runs::FIRST_PAUSE);
        };
        Some(match self.look(&wanted, now).next {
            Next::Nothing { until } => until.duration_since(now).try_into().unwrap_or_default(),
            Next::Wait | Next::Stop(_) | Next::Begin { .. } => RECHECK_PAUSE,
        })
    }

    /// Starts provisioning if necessary.
    ///
    /// # Errors
    /// The API server did not answer, or did not accept a write.
    pub async fn ensure(&self) -> Result<(), Error> {
        let Some(wanted) = self.ensure_wanted() else {
            return Ok(());
        };
        for run in runs::obsolete(&self.runs, &wanted.inputs) {
            self.delete(run).await?;
        }
        match self.look(&wanted, Timestamp::now()).next {
            Next::Nothing { .. } | Next::Wait => Ok(()),
            Next::Stop(run) => self.delete(run).await,
            Next::Begin { number, failures } => self.begin(&wanted, number, failures).await,
        }
    }

    /// Sets the fence (the account's connection limit): first on the server, then in the Secret.
    ///
    /// # Errors
    /// As for [`Database::step`].
    pub async fn set_fence(&self, connections: u32) -> Result<(), Error> {
        let max_user_connections = NonZeroU32::new(connections).unwrap_or(NonZeroU32::MIN);
        let step = Step::SetFence {
            max_user_connections,
        };
        self.step(step, "").await.map(drop)
    }

    /// Starts a step if it has not been done and no other step is in progress. `also` names the inputs of the step
    /// except the Secrets, which are identified by their digests. If the step has been done, returns its run.
    ///
    /// # Errors
    /// The step failed a short while ago; the API server did not answer, or did not accept a write.
    pub async fn step(&self, step: Step, also: &str) -> Result<Option<&Run>, Error> {
        let Some(wanted) = self.wanted(step, also) else {
            return Ok(None);
        };
        let Look { last, next } = self.look(&wanted, Timestamp::now());
        match (last, next) {
            (Some((run, Report::Done { .. })), _) => return Ok(Some(run)),
            (Some((_, Report::Failed { message, .. })), Next::Nothing { .. }) => {
                return Err(Error::Database(message.clone()));
            }
            (_, Next::Begin { number, failures }) => {
                self.begin(&wanted, number, failures).await?;
            }
            (_, Next::Nothing { .. } | Next::Wait | Next::Stop(_)) => {}
        }
        Ok(None)
    }

    fn look(&self, wanted: &Wanted, now: Timestamp) -> Look<'_> {
        let refused = self
            .observed
            .health
            .as_ref()
            .and_then(|health| health.database_trouble.as_ref())
            .and_then(|(_, why)| health::Reason::named(why))
            .is_some_and(|why| {
                matches!(
                    why,
                    health::Reason::AccessDenied | health::Reason::UnknownDatabase
                )
            });
        let good_for = if refused {
            VALID_FOR_IF_REJECTED
        } else {
            VALID_FOR
        };
        look(&self.runs, &wanted.inputs, good_for, now)
    }

    /// The last report of a run with the inputs that are wanted now.
    fn last_ensure(&self) -> Option<(&Run, &Report)> {
        let wanted = self.ensure_wanted()?;
        self.look(&wanted, Timestamp::now()).last
    }

    fn ensure_wanted(&self) -> Option<Wanted> {
        let fence = self.observed.live.fence;
        let fence = fence.unwrap_or(self.instance.budget.for_pods());
        let max_user_connections = NonZeroU32::new(fence).unwrap_or(NonZeroU32::MIN);
        let (writes, change) = self.wanted_writes();
        self.wanted(
            Step::Ensure {
                max_user_connections,
                writes,
            },
            &change,
        )
    }

    /// A step; `None`: a Secret that it needs is missing.
    fn wanted(&self, step: Step, also: &str) -> Option<Wanted> {
        let instance = self.instance;
        let provisioned = instance.mysql.provisioned.as_ref()?;
        let tls = provisioned.tls.as_ref();
        let names = [
            Some(provisioned.admin.secret_name.clone()),
            Some(instance.database_secret()),
            instance.migration_account_secret(),
            instance.training_account_secret(),
            tls.and_then(|tls| tls.ca_secret_name.clone()),
        ];
        let mut digests = also.to_owned();
        for name in names.into_iter().flatten() {
            let digest = self.observed.secrets.get(&name).map(SecretState::digest);
            digests.push(' ');
            digests.push_str(digest.filter(|digest| !digest.is_empty())?);
        }
        let owner = self.observed.owner.clone()?;
        Some(Wanted::new(instance, Task { owner, step }, &digests))
    }

    /// Creates a Job, unless the API server already has one that the watch has not reported.
    async fn begin(&self, wanted: &Wanted, number: u64, failures: u32) -> Result<(), Error> {
        if self.unseen.is_some() || self.is_settling {
            return Ok(());
        }
        let there = self.there().await?;
        if there.iter().any(|run| run.report().is_none()) || runs::newest(&there) + 1 != number {
            return Ok(());
        }
        self.ctx.may_act()?;
        let job = wanted.job(self.instance, number, failures);
        let job: DynamicObject = serde_json::from_value(job).map_err(Error::Object)?;
        let name = job.name_any();
        let parameters = PostParams {
            field_manager: Some(super::desired::FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.jobs().create(&parameters, &job).await {
            Ok(_) => {}
            // A Job of this name is being deleted.
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
            Err(error) => return Err(Error::write("Job", &name)(error)),
        }
        self.ctx.metrics.writes.accepted("Job", Verb::Create);
        self.ctx.known_jobs.with(self.instance, |known| {
            known.unseen = Some(Unseen {
                name,
                step: wanted.task.step.clone(),
                since: Instant::now(),
            });
        })
    }

    /// Reads the runs directly from the API server.
    async fn there(&self) -> Result<Vec<Run>, Error> {
        let labels = format!("{PROVISION_JOBS},{INSTANCE}={}", self.instance.name);
        let jobs = self
            .jobs()
            .list(&ListParams::default().labels(&labels))
            .await
            .map_err(Error::read("Jobs"))?;
        let own = jobs
            .iter()
            .filter(|job| is_controlled_by(&job.metadata, &self.instance.uid));
        Ok(own.filter_map(Run::of).collect())
    }

    /// Deletes a Job, and waits for its pods if they can still act.
    pub(super) async fn delete(&self, run: &Run) -> Result<(), Error> {
        self.ctx.may_act()?;
        let propagation = if run.report().is_some() {
            PropagationPolicy::Background
        } else {
            PropagationPolicy::Foreground
        };
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(run.uid.clone()),
                resource_version: None,
            }),
            propagation_policy: Some(propagation),
            ..DeleteParams::default()
        };
        let deleted = self.jobs().delete(&run.name, &parameters).await;
        if is_deleted(deleted, "Job", &run.name)? {
            self.ctx.metrics.writes.accepted("Job", Verb::Delete);
        }
        Ok(())
    }

    fn jobs(&self) -> Api<DynamicObject> {
        let resource = Kind::Job.resource();
        Api::namespaced_with(self.ctx.client.clone(), &self.instance.namespace, &resource)
    }

    /// Publishes an event that lists the database and users that remain when the resource is deleted, and the
    /// statements that remove them.
    async fn announce(&self) {
        let Some(owner) = &self.observed.owner else {
            return;
        };
        let database = self.instance.database().name;
        let note = format!(
            "the database {database} and the account {} are ready. They are kept when this resource is deleted; to remove them then: {}",
            owner.user_name(),
            provisioning::removal(database, owner)
        );
        self.publish(EventType::Normal, "Provisioned", note).await;
        if let Some(note) = self.instance.unverified_server() {
            self.publish(EventType::Warning, "UnverifiedServer", note)
                .await;
        }
    }

    async fn publish(&self, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Provision".to_owned(),
            secondary: None,
        };
        let resource = stores::service_resource();
        let about = ObjectReference {
            api_version: Some(resource.api_version),
            kind: Some(resource.kind),
            name: Some(self.instance.name.clone()),
            namespace: Some(self.instance.namespace.clone()),
            uid: Some(self.instance.uid.clone()),
            ..ObjectReference::default()
        };
        // A lost event is no reason to retry.
        if let Err(error) = self.ctx.events.publish(&event, &about).await {
            tracing::warn!(%error, "failed to record an event");
        }
    }
}
