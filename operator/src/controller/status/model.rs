//! Whether the pods use a trained model, and whether it is trained regularly. Pure.

use super::conditions::{Finding, Status};
use super::view::View;
use crate::controller::desired::labels::INSTANCE;
use crate::controller::observe::live;
use crate::health::Models;
use jiff::Timestamp;
use kube::api::DynamicObject;
use reckon_contract::tuning::Algorithm;
use std::time::Duration;

/// An older model is out of date, because its popularity of categories no longer describes the purchases.
const OUTDATED: Duration = Duration::from_hours(14 * 24);

impl View<'_> {
    /// The finding about the model; `None`: the algorithm uses none.
    pub(super) fn model(&self, now: Timestamp) -> Option<Finding> {
        let recommendation = &self.instance.tuning.recommendation;
        recommendation
            .uses(Algorithm::NextBasket)
            .then(|| self.model_in_use(now))
    }

    fn model_in_use(&self, now: Timestamp) -> Finding {
        let health = self.observed.health.as_ref();
        let Some(models) = health.and_then(|health| health.models.as_ref()) else {
            return match health {
                Some(_) => Finding::new(
                    Status::Unknown,
                    "NotReported",
                    "the pods do not report which model they use: they still rank by Classic, or their image is too old",
                ),
                None => Finding::new(
                    Status::Unknown,
                    "NoPodAnswers",
                    "no pod has reported which model it uses",
                ),
            };
        };
        let use_ = in_use(models);
        if let Some((pods, why)) = &models.trouble {
            let sentence = format!(
                "{pods} of {} pods cannot use the newest model: {why}; {use_}",
                models.reported
            );
            return Finding::new(Status::False, "ModelInvalid", sentence);
        }
        if let Some(sentence) = self.training_failed() {
            let sentence = format!("{sentence}; {use_}");
            return Finding::new(Status::False, "TrainingFailed", sentence);
        }
        match &models.newest {
            None => self.no_model(&use_),
            Some((Some(created), _)) if is_outdated(*created, now) => {
                let sentence = format!(
                    "{use_}, which is more than 14 days ago; see the log of the last training"
                );
                Finding::new(Status::False, "ModelOutdated", sentence)
            }
            Some(_) => Finding::new(Status::True, "ModelLoaded", use_),
        }
    }

    fn no_model(&self, use_: &str) -> Finding {
        match &self.instance.training {
            Some(training) if training.suspend => {
                let sentence = format!(
                    "no model has been published, and spec.training.suspend is true; {use_}"
                );
                Finding::new(Status::False, "NoModel", sentence)
            }
            Some(training) => {
                let schedule = training.schedule.as_deref().unwrap_or_default();
                let sentence = format!(
                    "no model has been published; the training runs on the schedule {schedule:?} (UTC); {use_}"
                );
                Finding::new(Status::False, "NoModel", sentence)
            }
            None => {
                let sentence =
                    format!("no model has been published, and spec.training is not set; {use_}");
                Finding::new(Status::Unknown, "NotTrained", sentence)
            }
        }
    }

    /// Describes the failure of the last training, if it failed and no other runs.
    fn training_failed(&self) -> Option<String> {
        let at = failed_at(self.observed.cron_job(self.instance)?)?;
        let (namespace, name) = (&self.instance.namespace, &self.instance.name);
        Some(format!(
            "the training of {at} failed, and the next one starts as scheduled; see `kubectl --namespace {namespace} logs --selector \
             {INSTANCE}={name},app.kubernetes.io/component=train`"
        ))
    }
}

/// When the last run began, if it has ended without success.
fn failed_at(cron_job: &DynamicObject) -> Option<Timestamp> {
    let status = &cron_job.data["status"];
    let time = |field: &str| status[field].as_str()?.parse::<Timestamp>().ok();
    let begun = time("lastScheduleTime")?;
    let has_succeeded = time("lastSuccessfulTime").is_some_and(|at| at >= begun);
    (!has_succeeded && !live::is_training(cron_job)).then_some(begun)
}

/// Describes the model that the pods use.
fn in_use(models: &Models) -> String {
    let Some((created, version)) = &models.newest else {
        return "recommendations are computed from each user's own history".to_owned();
    };
    let created = created.and_then(|created| Timestamp::from_second(created.try_into().ok()?).ok());
    let trained = created.map_or_else(String::new, |at| format!(", trained at {at}"));
    let pods = if models.loaded == models.reported {
        String::new()
    } else {
        format!(" by {} of {} pods", models.loaded, models.reported)
    };
    format!("model {version} is in use{pods}{trained}")
}

fn is_outdated(created: u64, now: Timestamp) -> bool {
    let created = i64::try_from(created).unwrap_or(i64::MAX);
    let age = now.as_second().saturating_sub(created);
    u64::try_from(age).is_ok_and(|age| age > OUTDATED.as_secs())
}
