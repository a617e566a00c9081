//! The kills, their duration, and the failures that they explain.

use super::clients::{Failure, Outcome};
use crate::actions::Cordoned;
use crate::processes::Process;
use crate::subject::{SOON, Subject};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};

/// Pods observe a change a moment after Kubernetes reports it.
const AFTER: Duration = Duration::from_secs(5);

/// The pods of the managed Redis.
const REDIS: &str = "-l app.kubernetes.io/instance=prove,app.kubernetes.io/component=redis";
/// The pods of the operator.
const OPERATOR: &str = "-n reckon-system";

/// Something that is killed or taken away.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// The process of one of the pods.
    ApiKilled,
    /// `kubectl delete pod` of one of the pods.
    ApiDeleted,
    RedisKilled,
    DatabaseKilled,
    OperatorKilled,
    /// The node with most of the pods, which is uncordoned when they run elsewhere.
    NodeDrained,
}

/// All of them.
pub const KINDS: [Kind; 6] = [
    Kind::ApiKilled,
    Kind::ApiDeleted,
    Kind::RedisKilled,
    Kind::DatabaseKilled,
    Kind::OperatorKilled,
    Kind::NodeDrained,
];

/// A kill that happened.
#[derive(Clone, Copy, Debug)]
pub struct KillEvent {
    pub kind: Kind,
    /// In seconds since 1970.
    pub at: f64,
    /// Until the service had settled.
    pub seconds: f64,
}

impl Kind {
    /// Does it, and waits until the service has settled.
    pub fn run(self, subject: &Subject<'_>, random: &mut fastrand::Rng) -> KillEvent {
        let at = now();
        subject.mark(&format!("{self:?}"));
        let pods = subject.pods();
        match self {
            Self::ApiKilled => {
                let pod = random.choice(&pods).unwrap();
                restarted(subject, pod, &[subject.process(pod)]);
            }
            Self::ApiDeleted => {
                let pod = random.choice(&pods).unwrap();
                subject.cluster.kubectl(&format!("delete pod {pod}"));
            }
            Self::RedisKilled => {
                restarted(subject, REDIS, &subject.processes.named("redis-server"));
            }
            Self::DatabaseKilled => {
                let database = &subject.database;
                let processes = subject.processes.named(database.process());
                restarted(subject, &database.pod(), &processes);
            }
            Self::OperatorKilled => {
                let processes = subject.processes.named("reckon-operator");
                restarted(subject, OPERATOR, &processes);
            }
            Self::NodeDrained => {
                let cordoned: Cordoned<'_> = subject.drain();
                subject.settled(pods.len().try_into().unwrap());
                drop(cordoned);
            }
        }
        subject
            .cluster
            .eventually(SOON, "every other pod is ready", || {
                everything_ready(subject)
            });
        subject.settled(pods.len().try_into().unwrap());
        let seconds = now() - at;
        subject.mark("settled");
        KillEvent {
            kind: self,
            at,
            seconds,
        }
    }

    /// Whether a kill of this kind explains this failure.
    fn explains(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Unavailable => true,
            Outcome::Broken | Outcome::Timeout => self == Self::ApiKilled,
            Outcome::Old => self == Self::RedisKilled,
            Outcome::Wrong | Outcome::Undocumented => false,
        }
    }
}

impl KillEvent {
    /// Whether it was going on during a request, and is a reason for its failure.
    pub fn explains(&self, failure: &Failure) -> bool {
        let end = self.at + self.seconds + AFTER.as_secs_f64();
        failure.at <= end && failure.until >= self.at && self.kind.explains(failure.kind)
    }
}

/// Kills the processes of containers, and waits until Kubernetes has counted that.
fn restarted(subject: &Subject<'_>, pods: &str, processes: &[Process]) {
    let count = || {
        let path = "{..status.containerStatuses[*].restartCount}";
        let text = subject
            .cluster
            .try_kubectl(&format!("get pods {pods} -o jsonpath={path}"));
        let counts = text.unwrap_or_default();
        counts
            .split_whitespace()
            .map(|count| count.parse::<u32>().unwrap())
            .sum::<u32>()
    };
    let former = count();
    assert!(!processes.is_empty(), "no process of {pods}");
    for process in processes {
        process.kill();
    }
    subject
        .cluster
        .eventually(SOON, "the container is restarted", || count() > former);
}

/// Checks that the database answers, and that Redis and the operator are ready.
fn everything_ready(subject: &Subject<'_>) -> bool {
    let ready = |pods: &str| {
        let get =
            format!("get pods {pods} -o jsonpath={{.items[*].status.containerStatuses[*].ready}}");
        subject
            .cluster
            .try_kubectl(&get)
            .is_ok_and(|text| text.split(' ').all(|word| word == "true"))
    };
    subject.database.answers() && ready(REDIS) && ready(OPERATOR)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64()
}
