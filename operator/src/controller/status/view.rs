//! The input of a status.

use super::conditions::{Finding, Status};
use crate::controller::instance::Instance;
use crate::controller::kind::Kind;
use crate::controller::observe::Observed;
use crate::controller::outcome::Outcome;
use kube::api::DynamicObject;

#[derive(Clone, Copy, Debug, Default)]
pub(in crate::controller) struct Pods {
    pub(in crate::controller) there: u32,
    pub(in crate::controller) ready: u32,
    pub(in crate::controller) updated: u32,
    pub(in crate::controller) wanted: u32,
}

impl Pods {
    pub(super) fn of(instance: &Instance, observed: &Observed) -> Self {
        let Some(deployment) = observed.child(Kind::Deployment, &instance.name) else {
            return Self {
                wanted: instance.budget.scale.min(),
                ..Self::default()
            };
        };
        Self::read(deployment)
    }

    pub(super) fn serve(self, url: Option<&str>) -> Finding {
        let at = url
            .map(|url| format!("; serving at {url}"))
            .unwrap_or_default();
        let sentence = format!("{} of {} pods are ready{at}", self.ready, self.wanted);
        Finding::new(Status::True, "PodsReady", sentence)
    }

    pub(in crate::controller) fn read(deployment: &DynamicObject) -> Self {
        let number = |value: &serde_json::Value| {
            value.as_u64().and_then(|number| u32::try_from(number).ok())
        };
        let status = &deployment.data["status"];
        Self {
            there: number(&status["replicas"]).unwrap_or(0),
            ready: number(&status["readyReplicas"]).unwrap_or(0),
            updated: number(&status["updatedReplicas"]).unwrap_or(0),
            wanted: number(&deployment.data["spec"]["replicas"]).unwrap_or(1),
        }
    }
}

pub(super) struct View<'a> {
    pub(super) instance: &'a Instance,
    pub(super) observed: &'a Observed,
    pub(super) outcome: &'a Outcome,
    pub(super) pods: Pods,
}
