//! One child: applied if it, or its desired state, has changed since the last write.

use crate::controller::context::Context;
use crate::controller::deletion::{is_deleted, only};
use crate::controller::desired::{FIELD_MANAGER, Resources};
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::kind::{Kind, fingerprint_of, slim, template_of};
use crate::controller::observe::live::IMAGE;
use crate::controller::observe::{Observed, is_current};
use crate::metrics::Verb;
use crate::tuning::Surge;
use crate::tuning::plan::Former;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PropagationPolicy};
use serde_json::{Value, json};
use std::time::Duration;

/// The API's Deployment as it is applied, annotated with its image.
#[must_use]
pub fn deployment(
    instance: &Instance,
    resources: &Resources,
    min_ready: Duration,
    surge: Surge,
    former: Option<Former>,
) -> Value {
    let mut body = resources.deployment.with(min_ready, surge, former);
    body["metadata"]["annotations"][IMAGE] = json!(instance.image);
    body
}

/// An object to apply.
#[derive(Clone, Debug)]
pub struct Child {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The fields that the operator owns.
    pub body: Value,
    /// If fields were copied from the existing object: the object's `resourceVersion`, so that the write cannot restore
    /// an older state.
    pub version: Option<String>,
}

impl Child {
    /// An object with its name in its metadata.
    #[must_use]
    pub fn new(kind: Kind, body: &Value) -> Self {
        let name = body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Self {
            kind,
            name,
            body: body.clone(),
            version: None,
        }
    }

    /// The same, rejected if the object has changed since it was read.
    #[must_use]
    pub fn at(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }

    /// The request's body: the fields, and the version on which they are based.
    fn sent(&self) -> Value {
        let mut body = self.body.clone();
        if let Some(version) = &self.version {
            body["metadata"]["resourceVersion"] = json!(version);
        }
        body
    }

    /// Whether the child creates pods with the resource's identity and Secrets.
    #[must_use]
    pub fn runs_pods(&self) -> bool {
        matches!(self.kind, Kind::Deployment | Kind::Job | Kind::CronJob)
    }

    /// Kind and name.
    #[must_use]
    pub fn key(&self) -> (Kind, String) {
        (self.kind, self.name.clone())
    }
}

/// A child whose name is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameConflict {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
}

impl NameConflict {
    /// The kind of the Secrets that the operator creates.
    pub const SECRET: &str = "Secret";
}

/// What was written, and what was not changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Writes that the API server accepted.
    pub writes: u32,
    /// Objects of other owners, which were not changed.
    pub conflicts: Vec<NameConflict>,
    /// Whether the Deployment's pod template has the wanted hash but was edited after the operator wrote it. A plan
    /// then replaces it.
    pub template_edited: bool,
}

/// The outcome for one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It is unchanged since the last write.
    Unchanged,
    /// It was written.
    Written,
    /// It was not written, because the write would have changed a pod template.
    TemplateEdited,
}

impl Applied {
    /// Whether creating pods is forbidden, because they would run with an identity, or read a Secret, of another owner.
    #[must_use]
    pub fn forbids_pods(&self) -> bool {
        let identity = Kind::ServiceAccount.name();
        self.conflicts
            .iter()
            .any(|conflict| conflict.kind == identity || conflict.kind == NameConflict::SECRET)
    }
}

/// Applies a child if it differs.
///
/// # Errors
/// The API server did not accept it.
pub async fn apply(
    child: &Child,
    instance: &Instance,
    observed: &Observed,
    ctx: &Context,
) -> Result<WriteOutcome, Error> {
    let key = (child.kind, instance.namespace.clone(), child.name.clone());
    let there = observed.child(child.kind, &child.name);
    if let Some(there) = there {
        if ctx
            .memo
            .is_as_left(&key, &child.body, fingerprint_of(there))?
        {
            return Ok(WriteOutcome::Unchanged);
        }
        let is_planned = child.kind == Kind::Deployment && child.name == instance.name;
        if is_planned && changes_template(child, there, instance, ctx).await? {
            return Ok(WriteOutcome::TemplateEdited);
        }
    }
    match (write(child, instance, ctx).await, there) {
        // A Job's template is immutable. So the template counts as the desired one, even if admission changed it.
        (Err(error), Some(there)) if child.kind == Kind::Job && error.is_invalid() => {
            let fingerprint = fingerprint_of(there);
            ctx.memo.note(key, &child.body, fingerprint)?;
            Ok(WriteOutcome::Unchanged)
        }
        (written, _) => written.map(|()| WriteOutcome::Written),
    }
}

/// Whether applying a Deployment would replace its pods. Uses a dry run, because only the API server can determine how
/// admission changes the existing template and the sent one.
async fn changes_template(
    child: &Child,
    there: &DynamicObject,
    instance: &Instance,
    ctx: &Context,
) -> Result<bool, Error> {
    let parameters = PatchParams {
        dry_run: true,
        ..parameters()
    };
    let tried = api(child.kind, instance, ctx)
        .patch(&child.name, &parameters, &Patch::Apply(child.sent()))
        .await;
    match tried {
        Ok(mut tried) => {
            slim(child.kind, &mut tried);
            Ok(template_of(&tried) != template_of(there))
        }
        // A webhook that has side effects rejects dry runs. A plan is correct in both cases.
        Err(kube::Error::Api(status)) if status.code == 400 => Ok(true),
        Err(error) => Err(Error::write(child.kind.name(), &child.name)(error)),
    }
}

/// Applies a child, and records its state after the write.
///
/// # Errors
/// The API server did not accept it.
pub async fn write(child: &Child, instance: &Instance, ctx: &Context) -> Result<(), Error> {
    ctx.may_act()?;
    let api = api(child.kind, instance, ctx);
    let parameters = parameters();
    let patch = Patch::Apply(child.sent());
    let mut applied = api.patch(&child.name, &parameters, &patch).await;
    if let Some(fields) = remedy(child).filter(|_| is_invalid(&applied)) {
        let replaced = api
            .patch(&child.name, &PatchParams::default(), &Patch::Merge(&fields))
            .await;
        replaced.map_err(Error::write(child.kind.name(), &child.name))?;
        ctx.metrics.writes.accepted(child.kind.name(), Verb::Patch);
        applied = api
            .patch(&child.name, &parameters, &Patch::Apply(&child.body))
            .await;
    }
    let mut applied = applied.map_err(Error::write(child.kind.name(), &child.name))?;
    ctx.metrics.writes.accepted(child.kind.name(), Verb::Apply);
    slim(child.kind, &mut applied);
    let key = (child.kind, instance.namespace.clone(), child.name.clone());
    ctx.memo.note(key, &child.body, fingerprint_of(&applied))
}

/// The patch to merge first if the API server rejects an apply. This can be necessary because an apply keeps fields
/// that others added, and these may conflict with the operator's fields.
fn remedy(child: &Child) -> Option<Value> {
    let spec = &child.body["spec"];
    match child.kind {
        Kind::Service => Some(json!({"spec": {"ports": spec["ports"]}})),
        Kind::PodDisruptionBudget => {
            let other = if spec["minAvailable"].is_null() {
                "minAvailable"
            } else {
                "maxUnavailable"
            };
            Some(json!({"spec": {other: null}}))
        }
        _ => None,
    }
}

fn parameters() -> PatchParams {
    PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply(FIELD_MANAGER).force()
    }
}

fn is_invalid<T>(written: &kube::Result<T>) -> bool {
    matches!(written, Err(kube::Error::Api(status)) if status.code == 422)
}

/// The API of a kind in the resource's namespace.
#[must_use]
pub fn api(kind: Kind, instance: &Instance, ctx: &Context) -> Api<DynamicObject> {
    Api::namespaced_with(ctx.client.clone(), &instance.namespace, &kind.resource())
}

/// Deletes all children except those in `keep`; returns how many. If the resource has changed since it was read, it
/// deletes none.
///
/// # Errors
/// The API server did not accept a deletion.
pub async fn remove_orphans(
    keep: &[(Kind, String)],
    instance: &Instance,
    observed: &Observed,
    ctx: &Context,
) -> Result<u32, Error> {
    let unwanted: Vec<_> = observed
        .children
        .iter()
        .filter(|(key, child)| !keep.contains(key) && child.metadata.deletion_timestamp.is_none())
        .collect();
    let mut removed = 0;
    if unwanted.is_empty() || !is_current(instance, ctx).await? {
        return Ok(removed);
    }
    for ((kind, name), child) in unwanted {
        ctx.may_act()?;
        let objects = api(*kind, instance, ctx);
        let mut parameters = only(child.uid());
        if *kind == Kind::CronJob {
            // It remains until its pods have ended, because the connection budget counts their connection until then.
            parameters.propagation_policy = Some(PropagationPolicy::Foreground);
        }
        let deleted = objects.delete(name, &parameters).await;
        if is_deleted(deleted, kind.name(), name)? {
            removed += 1;
            ctx.metrics.writes.accepted(kind.name(), Verb::Delete);
        }
    }
    Ok(removed)
}
