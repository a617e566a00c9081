//! The service that is measured: how it is created, changed, and awaited.

use super::database::{ACCOUNT, Database, USERS};
use super::processes::{Process, Processes};
use super::service::{Kind, Service};
use clap::ValueEnum;
use k8s_openapi::api::core::v1::Secret;
use reckon_e2e::cluster::{Cluster, conditions_text};
use reckon_e2e::load::{Clients, Load};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// Name of the resource.
pub const NAME: &str = "prove";
/// The pods of the API.
pub const PODS: &str = "app.kubernetes.io/instance=prove,app.kubernetes.io/component=api";
/// Long enough for a planned rollout of 20 pods on a busy machine.
pub const ROLLOUT: Duration = Duration::from_mins(25);
/// Long enough for what takes seconds.
pub const SOON: Duration = Duration::from_mins(2);

/// What keeps the connections within the budget.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
pub enum Mode {
    /// The operator plans every write.
    #[value(name = "Plan")]
    Plan,
    /// The database server.
    #[value(name = "Server")]
    Server,
    /// Nothing: a plain Deployment with the defaults of Kubernetes, without the operator.
    #[value(name = "Kubernetes")]
    Kubernetes,
}

/// A service in the cluster.
pub struct Subject<'a> {
    pub cluster: &'a Cluster,
    pub database: Database<'a>,
    pub processes: Processes,
    pub mode: Mode,
    began: Instant,
    marks: RefCell<Vec<(f64, String)>>,
}

impl<'a> Subject<'a> {
    /// Creates the service anew, and waits until it is as it should be.
    pub fn create(database: Database<'a>, mode: Mode, service: Service) -> Self {
        let cluster = database.cluster;
        let mut subject = Self {
            cluster,
            database,
            processes: Processes::of(cluster, ACCOUNT),
            mode,
            began: Instant::now(),
            marks: RefCell::default(),
        };
        // A program that lacks this field always plans.
        let field = "explain recsvc.spec.mysql.budgetEnforcement";
        let enforcement = cluster.try_kubectl(field).is_ok();
        let manifest = service.manifest(&database, mode, enforcement);
        cluster.apply(&manifest.to_string());
        if service.kind == Kind::Provisioned {
            database.fill_provisioned();
        }
        let number = service.pods.least();
        subject.settled(number);
        match mode {
            Mode::Plan => {}
            Mode::Server => cluster.eventually(ROLLOUT, "the server enforces the budget", || {
                cluster.object("recsvc prove")["status"]["tuning"]["enforcement"] == "Server"
            }),
            Mode::Kubernetes => subject.without_operator(),
        }
        // The first settled state may have been that of another mode.
        subject.settled(number);
        if service.kind == Kind::Provisioned {
            subject.processes = Processes::of(cluster, &subject.provisioned_account());
        }
        subject
    }

    fn provisioned_account(&self) -> String {
        let secret: Secret =
            serde_json::from_value(self.cluster.object("secret prove-mysql")).unwrap();
        String::from_utf8(secret.data.unwrap()["username"].0.clone()).unwrap()
    }

    /// Takes the operator away from the objects, and gives the Deployment the defaults of Kubernetes.
    fn without_operator(&self) {
        self.cluster
            .kubectl("delete recsvc prove --cascade=orphan --timeout=60s");
        self.cluster.patch_object(
            "deployment/prove",
            r#"{"spec": {"minReadySeconds": 0, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}}}"#,
        );
    }

    /// Deletes the service; what it had is gone, its connections too.
    pub fn delete(cluster: &Cluster, database: &Database<'_>) {
        cluster.kubectl("delete recsvc prove --ignore-not-found --timeout=120s");
        // Of a service without operator; otherwise there is nothing left.
        cluster.kubectl("delete deploy,hpa,pdb,svc,netpol,sa,cm,job -l app.kubernetes.io/instance=prove --timeout=120s");
        cluster.kubectl("delete secret -l app.kubernetes.io/instance=prove");
        cluster.eventually(SOON, "no pod is left", || {
            let pods = cluster.kubectl("get pods -l app.kubernetes.io/instance=prove -o name");
            pods.trim().is_empty()
        });
        database.drop_provisioned();
        cluster.eventually(SOON, "no connection is left", || {
            let count = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'prove'";
            database.sql(count).trim() == "0"
        });
    }

    /// Clients that wait for their answers, with so many requests a second each.
    pub fn load(&self, number: u32, rate: u32) -> Load {
        let clients = Clients {
            number,
            rate: number * rate,
            users: USERS,
            requests: 10,
        };
        Load::with(self.cluster, NAME, clients)
    }

    /// The time of what happened, for plots.
    pub fn mark(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        eprintln!("        {at:>4.0} s  {what}");
        self.marks.borrow_mut().push((at, what.to_owned()));
    }

    /// What happened, in seconds from the service's creation.
    pub fn marks(&self) -> Vec<(f64, String)> {
        self.marks.borrow().clone()
    }

    /// Seconds since the service's creation began.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Merges a patch into the resource's spec.
    pub fn patch(&self, spec: &Value) {
        let patch = json!({ "spec": spec });
        self.cluster
            .patch_object("recsvc/prove", &patch.to_string());
    }

    /// Requests that all pods are replaced.
    pub fn restart(&self, value: &str) {
        self.mark("rollout requested");
        if self.mode == Mode::Kubernetes {
            self.cluster.kubectl("rollout restart deployment/prove");
        } else {
            let annotate =
                format!("annotate recsvc prove reckon.dev/restarted-at={value} --overwrite");
            self.cluster.kubectl(&annotate);
        }
    }

    /// Does something that replaces all pods, and waits until that is done.
    pub fn replaced(&self, number: u32, deed: impl FnOnce()) {
        let former = self.pods();
        deed();
        self.gone(&former);
        self.settled(number);
    }

    /// Waits until pods are no more.
    pub fn gone(&self, former: &[String]) {
        self.cluster
            .eventually(ROLLOUT, "every pod has been replaced", || {
                self.cluster
                    .try_kubectl(&format!("get pods -l {PODS} -o name"))
                    .is_ok_and(|pods| !former.iter().any(|pod| pods.contains(pod.as_str())))
            });
    }

    /// Waits until so many pods are ready and nothing is to be done any more.
    pub fn settled(&self, number: u32) {
        if self.mode != Mode::Kubernetes || self.cluster.try_kubectl("get recsvc prove").is_ok() {
            self.cluster.settled_of(NAME, number as usize, ROLLOUT);
        } else {
            self.cluster
                .kubectl("rollout status deployment/prove --timeout=600s");
            self.cluster.eventually(SOON, "no other pod is left", || {
                self.pods().len() == number as usize
            });
        }
    }

    /// Waits until a line of the resource's conditions begins so.
    pub fn condition(&self, line: &str) {
        self.cluster.eventually(SOON, line, || {
            let text = conditions_text(&self.cluster.object("recsvc prove"));
            text.lines().any(|own| own.starts_with(line))
        });
    }

    /// `status.tuning` of the resource.
    pub fn tuning(&self) -> Value {
        if self.mode == Mode::Kubernetes {
            return Value::Null;
        }
        self.cluster.object("recsvc prove")["status"]["tuning"].clone()
    }

    /// Names of the pods, with those that end.
    pub fn pods(&self) -> Vec<String> {
        self.cluster.pods_of(NAME)
    }

    /// The process of a pod.
    pub fn process(&self, pod: &str) -> Process {
        let uid = self
            .cluster
            .kubectl(&format!("get pod {pod} -o jsonpath={{.metadata.uid}}"));
        self.processes.of_pod(&uid).expect("the pod has a process")
    }

    /// The first of these pods that begins to terminate.
    pub fn first_terminating(&self, pods: &[String]) -> String {
        let mut found = None;
        self.cluster.eventually(SOON, "a pod ends", || {
            let text = self.cluster.kubectl(&format!(
                "get pods -l {PODS} -o jsonpath={{range.items[?(@.metadata.deletionTimestamp)]}}{{.metadata.name}},{{end}}"
            ));
            found = text.split(',').find(|name| pods.iter().any(|pod| pod == name)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }
}
