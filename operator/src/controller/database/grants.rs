//! The privileges to write: recorded in the Secret of the database user, granted and revoked by Jobs, and required before
//! pods store events.

use super::Database;
use crate::controller::desired::config_map::config_map;
use crate::controller::error::Error;
use crate::controller::instance::Instance;
use crate::controller::observe::secrets::{SecretState, WRITES};
use crate::controller::writes::{TableSet, Writes};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use reckon_contract::provisioning::Report;
use serde_json::json;

impl Database<'_> {
    /// The resource without events, while its pods have no privilege to write to its tables yet; `None`: no change is
    /// delayed.
    #[must_use]
    pub fn without_events(&self) -> Option<Instance> {
        let tables = self.instance.written_tables();
        if tables.is_subset(&self.writes().granted) {
            return None;
        }
        let mut held = self.instance.clone();
        held.tuning.events.enabled = false;
        Some(held)
    }

    /// The tables of [`Step::Ensure`](reckon_contract::provisioning::Step::Ensure), and a text that differs after each
    /// change of these tables.
    pub(super) fn wanted_writes(&self) -> (Option<TableSet>, String) {
        let Writes {
            change,
            wanted,
            possible,
            ..
        } = self.writes();
        let is_none = wanted.is_empty() && possible.is_empty();
        let change = (change > 0).then(|| format!(" {change}"));
        ((!is_none).then_some(wanted), change.unwrap_or_default())
    }

    /// Records the wanted tables before a Job changes the privileges, and the granted tables after the Job has
    /// reported.
    pub(super) async fn note_writes(&mut self) -> Result<(), Error> {
        let name = self.instance.database_secret();
        let Some(SecretState::Complete { version, .. }) = self.observed.secrets.get(&name) else {
            return Ok(());
        };
        let recorded = self.writes();
        let tables = self.instance.written_tables();
        let wanted = recorded.target(&tables, self.is_rolled());
        let next = if wanted != recorded.wanted {
            recorded.begin(&wanted)
        } else if matches!(self.last_ensure(), Some((_, Report::Done { .. }))) {
            recorded.done()
        } else {
            return Ok(());
        };
        // If a fence was just recorded, the Secret has another version now.
        if next == recorded || self.is_settling {
            return Ok(());
        }
        self.ctx.may_act()?;
        let text = serde_json::to_string(&next).map_err(Error::Object)?;
        let body = json!({"metadata": {"resourceVersion": version, "annotations": {WRITES: text}}});
        let api: Api<Secret> = Api::namespaced(self.ctx.client.clone(), &self.instance.namespace);
        api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&body))
            .await
            .map_err(Error::write("Secret", &name))?;
        self.is_settling = true;
        Ok(())
    }

    fn writes(&self) -> Writes {
        let secret = self.observed.secrets.get(&self.instance.database_secret());
        secret.map(SecretState::writes).unwrap_or_default()
    }

    /// Whether all pods, and the template of new pods, have the tuning of the resource.
    fn is_rolled(&self) -> bool {
        let (_, wanted) = config_map(self.instance);
        let mut used = self.observed.tunings_in_use.iter();
        used.all(|used| *used == wanted)
    }
}
