//! The provisioning Jobs as runs of steps: the step of each, whether it is finished, and what to do next. Pure.
//!
//! The Jobs hold the whole state, so that another operator can resume.

use super::desired::provision::{self, FAILURES, INPUTS, RUN, SERVER, TASK};
use super::instance::Instance;
use super::kind::Kind;
use jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use reckon_contract::provisioning::{Report, Step, Task};
use serde_json::Value;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Annotation of a finished Job with its report. The report is copied there because the pod can be deleted at any time.
pub const REPORT: &str = "reckon.dev/report";

/// First pause after a failure; doubled each time.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Maximum pause.
pub const MAX_PAUSE: Duration = Duration::from_mins(1);

/// A provisioning Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The step that it does; `None`: another version of the operator created it.
    pub step: Option<Step>,
    /// Everything that could change its outcome.
    pub inputs: String,
    /// `host:port` of the server.
    pub server: String,
    /// The greatest one is the newest.
    pub number: u64,
    /// How many runs with the same inputs failed before it, in a row.
    pub failures: u32,
    /// Its progress.
    pub state: State,
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Its pod is running, or will start.
    UnderWay {
        /// Since when, if it has started.
        since: Option<Timestamp>,
    },
    /// It is being deleted.
    Ending,
    /// It is finished, and its report has not been read.
    Over {
        /// Since when.
        at: Timestamp,
        /// Why, if it failed.
        failure: Option<String>,
    },
    /// It is finished, and its report has been read.
    Reported {
        /// Since when.
        at: Timestamp,
        /// Its report.
        report: Report,
    },
}

impl Run {
    /// Reads a Job as a run; `None`: it is a Job of another kind.
    #[must_use]
    pub fn of(job: &DynamicObject) -> Option<Self> {
        let task = job.annotations().get(TASK)?;
        let text = |name: &str| job.annotations().get(name).cloned().unwrap_or_default();
        Some(Self {
            name: job.name_any(),
            uid: job.uid().unwrap_or_default(),
            step: Task::parse(task).ok().map(|task| task.step),
            inputs: text(INPUTS),
            server: text(SERVER),
            number: number(&text(RUN)),
            failures: number(&text(FAILURES)),
            state: state(job),
        })
    }

    /// Whether the run does [`Step::Ensure`], which creates missing objects.
    #[must_use]
    pub fn is_ensure(&self) -> bool {
        matches!(self.step, Some(Step::Ensure { .. }))
    }

    /// When it finished, and its report.
    #[must_use]
    pub fn report(&self) -> Option<(Timestamp, &Report)> {
        match &self.state {
            State::Reported { at, report } => Some((*at, report)),
            State::UnderWay { .. } | State::Ending | State::Over { .. } => None,
        }
    }

    /// If the run is finished and its step was only to set the fence: this fence.
    #[must_use]
    pub fn fence_set(&self) -> Option<u32> {
        let (
            Some(Step::SetFence {
                max_user_connections,
            }),
            Some((_, Report::Done { .. })),
        ) = (&self.step, self.report())
        else {
            return None;
        };
        Some(max_user_connections.get())
    }

    /// The fence of the account that the run created.
    #[must_use]
    pub fn fence_made(&self) -> Option<NonZeroU32> {
        match &self.step {
            Some(Step::Ensure {
                max_user_connections,
                ..
            }) => Some(*max_user_connections),
            _ => None,
        }
    }
}

/// Whether a Job is a provisioning Job.
#[must_use]
pub fn is_run(job: &DynamicObject) -> bool {
    job.annotations().contains_key(TASK)
}

fn number<T: FromStr + Default>(text: &str) -> T {
    text.parse().unwrap_or_default()
}

fn state(job: &DynamicObject) -> State {
    if job.metadata.deletion_timestamp.is_some() {
        return State::Ending;
    }
    let status = &job.data["status"];
    let Some((at, failure)) = end(status) else {
        let since = status["startTime"].as_str();
        let since = since.and_then(|since| since.parse().ok());
        return State::UnderWay { since };
    };
    let report = job.annotations().get(REPORT);
    match report.and_then(|report| Report::parse(report).ok()) {
        Some(report) => State::Reported { at, report },
        None => State::Over { at, failure },
    }
}

/// When a Job finished and had no active pod left; and why, if it failed.
fn end(status: &Value) -> Option<(Timestamp, Option<String>)> {
    let is_some = |field: &str| status[field].as_u64().unwrap_or(0) > 0;
    if is_some("active") || is_some("terminating") {
        return None;
    }
    let end = status["conditions"].as_array()?.iter().find(|condition| {
        condition["status"] == "True"
            && (condition["type"] == "Complete" || condition["type"] == "Failed")
    })?;
    let at = end["lastTransitionTime"].as_str()?.parse().ok()?;
    let failure =
        (end["type"] == "Failed").then(|| end["reason"].as_str().unwrap_or_default().to_owned());
    Some((at, failure))
}

/// The last report of a step, and what to do for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Look<'a> {
    /// The newest finished run with the wanted inputs.
    pub last: Option<(&'a Run, &'a Report)>,
    /// What to do.
    pub next: Next<'a>,
}

/// What to do for a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Next<'a> {
    /// Do nothing before `until`.
    Nothing {
        /// When the report expires.
        until: Timestamp,
    },
    /// Do nothing before a run ends.
    Wait,
    /// A run in progress has been superseded: delete it.
    Stop(&'a Run),
    /// Create a run.
    Begin {
        /// Its number.
        number: u64,
        /// How many runs failed before it.
        failures: u32,
    },
}

/// Finds, among all runs of a resource, the last report and the next action for a step with these inputs. One run is in
/// progress at a time. A finished step stays valid for `good_for`.
#[must_use]
pub fn look<'a>(runs: &'a [Run], inputs: &str, good_for: Duration, now: Timestamp) -> Look<'a> {
    let mine = runs.iter().filter(|run| run.inputs == inputs);
    let reported = mine.filter_map(|run| Some((run, run.report()?)));
    let last = reported.max_by_key(|(run, _)| run.number);
    let busy = runs.iter().find(|run| run.report().is_none());
    let next = match (busy, last) {
        (Some(run), _) => wait(run, inputs),
        (None, Some((run, (at, report)))) => {
            let (failures, counts) = match report {
                Report::Done { .. } => (0, good_for),
                Report::Failed { .. } => {
                    let failures = run.failures.saturating_add(1);
                    (failures, pause(failures))
                }
            };
            // If another machine's clock is ahead of this one, the wait must not be longer.
            let until = at.min(now) + counts;
            if now < until {
                Next::Nothing { until }
            } else {
                begin(runs, failures)
            }
        }
        (None, None) => begin(runs, 0),
    };
    Look {
        last: last.map(|(run, (_, report))| (run, report)),
        next,
    }
}

/// A run that changes one thing is always allowed to finish. A run of [`Step::Ensure`] is stopped if its inputs are no
/// longer wanted, because it can take long.
fn wait<'a>(run: &'a Run, inputs: &str) -> Next<'a> {
    let is_superseded = (run.is_ensure() || run.step.is_none()) && run.inputs != inputs;
    match run.state {
        State::UnderWay { .. } if is_superseded => Next::Stop(run),
        _ => Next::Wait,
    }
}

fn begin(runs: &[Run], failures: u32) -> Next<'static> {
    Next::Begin {
        number: newest(runs) + 1,
        failures,
    }
}

/// The number of the newest run; 0: there is none.
#[must_use]
pub fn newest(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.number).max().unwrap_or(0)
}

/// Finished runs whose reports no longer count. `inputs` are those of the wanted [`Step::Ensure`]. Of the runs of this
/// step, the newest one with these inputs is kept; if there is none, all are kept. Of the runs of the other steps, the
/// newest one is kept.
#[must_use]
pub fn obsolete<'a>(runs: &'a [Run], inputs: &str) -> Vec<&'a Run> {
    let over = || runs.iter().filter(|run| run.report().is_some());
    let kept = over()
        .filter(|run| run.is_ensure() && run.inputs == inputs)
        .max_by_key(|run| run.number);
    let newest = runs
        .iter()
        .filter(|run| !run.is_ensure())
        .max_by_key(|run| run.number);
    over()
        .filter(|run| {
            if run.is_ensure() {
                kept.is_some_and(|kept| kept.number != run.number)
            } else {
                run.step.is_none() || newest.is_some_and(|newest| newest.number != run.number)
            }
        })
        .collect()
}

/// The provisioning Jobs among the children of a resource.
#[must_use]
pub fn of(children: &BTreeMap<(Kind, String), Arc<DynamicObject>>) -> Vec<Run> {
    let jobs = children.iter().filter(|((kind, _), _)| *kind == Kind::Job);
    jobs.filter_map(|(_, job)| Run::of(job)).collect()
}

/// `max_connections` of the server of a resource with a provisioned database, as last reported.
#[must_use]
pub fn server_limit(
    instance: &Instance,
    children: &BTreeMap<(Kind, String), Arc<DynamicObject>>,
) -> Option<u32> {
    instance.mysql.provisioned.as_ref()?;
    limit(&of(children), &provision::server(instance))
}

/// `max_connections` of a server, as reported by the newest run that reached it.
#[must_use]
pub fn limit(runs: &[Run], server: &str) -> Option<u32> {
    let limits = runs.iter().filter(|run| run.server == server);
    let limits = limits.filter_map(|run| match run.report()? {
        (_, Report::Done { facts, .. }) => Some((run.number, facts.max_connections)),
        (_, Report::Failed { .. }) => None,
    });
    limits.max().map(|(_, limit)| limit)
}

/// The pause after this many failures in a row.
#[must_use]
pub fn pause(failures: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(MAX_PAUSE)
}

#[cfg(test)]
mod tests;
