//! An API server that contains only the resource definition.

use crate::operator::LEASES;
use crate::role;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, Config};
use reckon_operator::crd::crd;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::OnceCell;

/// The text before the port in a kubeconfig.
const SERVER: &str = "server: \"https://127.0.0.1:";
/// The text before the login in a kubeconfig.
const LOGIN: &str = "users: [{name: reckon, user: {";
/// File of the state with the operator's requests, a line of JSON each, if they are recorded.
const AUDIT_LOG: &str = "audit.log";
/// The flags that record them.
const AUDIT: &str = concat!(
    "--audit-log-path=audit.log --audit-policy-file=",
    env!("CARGO_MANIFEST_DIR"),
    "/tests/api_server/audit-policy.yaml"
);

/// Ended by `cluster down`, or, since statics are not dropped, by its watch over this process.
pub struct Cluster {
    state: PathBuf,
    /// Path of the operator's kubeconfig.
    operator: OnceCell<PathBuf>,
}

impl Cluster {
    /// The server for all tests that do not change the server or its definition.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        let cluster = tokio::task::spawn_blocking(|| SHARED.get_or_init(|| Self::up("")));
        let cluster = cluster.await.unwrap();
        cluster.define().await;
        cluster
    }

    /// A separate server for a test that counts requests, or causes faults of the server.
    pub async fn own() -> Self {
        Self::with("").await
    }

    /// A separate server that records the requests of operators: [`Cluster::audit`].
    pub async fn audited() -> Self {
        Self::with(AUDIT).await
    }

    /// A separate server with further flags.
    pub async fn with(flags: &'static str) -> Self {
        let cluster = tokio::task::spawn_blocking(|| Self::up(flags));
        let cluster = cluster.await.unwrap();
        cluster.define().await;
        cluster
    }

    fn up(flags: &str) -> Self {
        let state = tempfile::Builder::new()
            .prefix("reckon-e2e-")
            .tempdir()
            .unwrap()
            .keep();
        let cluster = Self {
            state,
            operator: OnceCell::new(),
        };
        cluster.script(&["up", "api"], flags);
        cluster
    }

    fn script(&self, arguments: &[&str], flags: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/cluster");
        let done = Command::new(script)
            .args(arguments)
            .env("CLUSTER_STATE", &self.state)
            .env("CLUSTER_OWNER", process::id().to_string())
            .env("CLUSTER_API_SERVER_FLAGS", flags)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "cluster {arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The kubeconfig of an operator, with its own roles.
    pub async fn operator_kubeconfig(&self) -> PathBuf {
        let path = self.operator.get_or_init(async || {
            let token = role::install(&self.client().await, LEASES).await;
            let text = std::fs::read_to_string(self.kubeconfig()).unwrap();
            let (rest, _) = text.split_once(LOGIN).unwrap();
            let path = self.state.join("kubeconfig-operator");
            std::fs::write(&path, format!("{rest}{LOGIN}token: {token}}}}}]\n")).unwrap();
            path
        });
        path.await.clone()
    }

    /// The path of one of Kubernetes's programs.
    pub fn program(&self, name: &str) -> PathBuf {
        let directories = std::fs::read_to_string(self.state.join("path")).unwrap();
        let mut paths = directories
            .trim()
            .split(':')
            .map(|directory| Path::new(directory).join(name));
        paths.find(|path| path.exists()).unwrap()
    }

    /// The requests of operators so far.
    pub fn audit(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state.join(AUDIT_LOG)).unwrap();
        // The last line may not be complete yet.
        let lines = text.lines().map(serde_json::from_str);
        lines.filter_map(Result::ok).collect()
    }

    /// The port of 127.0.0.1 at which it listens.
    pub fn port(&self) -> u16 {
        let text = std::fs::read_to_string(self.kubeconfig()).unwrap();
        let (_, rest) = text.split_once(SERVER).unwrap();
        let digits = rest.split(|letter: char| !letter.is_ascii_digit());
        digits.into_iter().next().unwrap().parse().unwrap()
    }

    /// The same for an operator that uses another port.
    pub async fn kubeconfig_through(&self, port: u16) -> PathBuf {
        let text = std::fs::read_to_string(self.operator_kubeconfig().await).unwrap();
        let direct = format!("{SERVER}{}", self.port());
        let path = self.state.join(format!("kubeconfig-{port}"));
        std::fs::write(&path, text.replace(&direct, &format!("{SERVER}{port}"))).unwrap();
        path
    }

    /// Takes from etcd all that was before that revision, which is a `resourceVersion`.
    pub fn compact_before(&self, revision: &str) {
        let body = format!(r#"{{"revision": "{revision}", "physical": true}}"#);
        let url = "http://127.0.0.1:2379/v3/kv/compaction";
        self.script(
            &[
                "exec",
                "curl",
                "--fail",
                "--silent",
                "--show-error",
                "--data",
                &body,
                url,
            ],
            "",
        );
    }

    /// A separate client for each test, because it belongs to the test's runtime.
    pub async fn client(&self) -> Client {
        client(&self.kubeconfig(), true).await
    }

    /// The same, which does not repeat a request that is answered 429: an eviction that was refused.
    pub async fn client_without_retries(&self) -> Client {
        client(&self.kubeconfig(), false).await
    }

    /// The same with the roles of an operator.
    pub async fn operators_client(&self) -> Client {
        client(&self.operator_kubeconfig().await, true).await
    }

    /// Installs the definition that the operator's library generates; it equals the one in `crds/`.
    async fn define(&self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await);
        let definition = crd().unwrap();
        let name = definition.metadata.name.clone().unwrap();
        let parameters = PatchParams::apply("installation").force();
        api.patch(&name, &parameters, &Patch::Apply(&definition))
            .await
            .unwrap();
        let established = await_condition(api, &name, is_crd_established());
        tokio::time::timeout(Duration::from_secs(30), established)
            .await
            .unwrap()
            .unwrap();
    }

    /// Sends a signal to the API server's process.
    pub fn signal_server(&self, signal: Signal) {
        let node = std::fs::read_to_string(self.state.join("node.pid")).unwrap();
        let mut below = vec![node.trim().parse::<i32>().unwrap()];
        while let Some(process) = below.pop() {
            let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
            if name.trim() == "kube-apiserver" {
                kill_process(Pid::from_raw(process).unwrap(), signal).unwrap();
                return;
            }
            let children = format!("/proc/{process}/task/{process}/children");
            let children = std::fs::read_to_string(children).unwrap_or_default();
            below.extend(
                children
                    .split_whitespace()
                    .map(|child| child.parse::<i32>().unwrap()),
            );
        }
        panic!("no kube-apiserver runs in {}", self.state.display());
    }
}

async fn client(kubeconfig: &Path, retries: bool) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = retries;
    Client::try_from(config).unwrap()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script(&["down"], "");
    }
}
