//! Operators: the real program, started, frozen and killed.

use crate::cluster::Cluster;
use reckon_harness::eventually::eventually;
use reckon_harness::port::Port;
use reckon_harness::process::Process;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Namespace of the Leases.
pub const LEASES: &str = "default";

/// An operator for a namespace, or for several. Operators of the same share a Lease.
pub struct Operator {
    /// The process.
    pub process: Process,
    port: Port,
}

impl Operator {
    /// Starts one, and waits until it has listed the existing objects.
    pub async fn start(cluster: &Cluster, namespace: &str, identity: &str) -> Self {
        Self::start_with(&cluster.operator_kubeconfig().await, &[namespace], identity).await
    }

    /// One for several namespaces (for all, if none is given), with another kubeconfig.
    pub async fn start_with(kubeconfig: &Path, namespaces: &[&str], identity: &str) -> Self {
        Self::start_set(kubeconfig, namespaces, identity, &[]).await
    }

    /// The same, with further environment variables.
    pub async fn start_set(
        kubeconfig: &Path,
        namespaces: &[&str],
        identity: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let port = Port::take();
        let lease = if namespaces.is_empty() {
            "everywhere".to_owned()
        } else {
            namespaces.join("-")
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_operator-under-test"));
        command
            .arg("run")
            .env_clear()
            .env("KUBECONFIG", kubeconfig)
            .env("RECKON_NAMESPACES", namespaces.join(","))
            .env("RECKON_LEASE_NAME", lease)
            .env("RECKON_OPS_LISTEN", port.address().to_string())
            .env("POD_NAMESPACE", LEASES)
            .env("POD_NAME", identity)
            .envs(variables.iter().copied());
        let mut process = Process::new(command);
        process.start();
        let operator = Self { process, port };
        operator.ready().await;
        operator
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        eventually(Duration::from_secs(30), async || {
            self.get("/readyz").await.contains("200 OK")
        })
        .await;
    }

    /// The address of its operations port.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Whether it reports that it is the leader.
    pub async fn leads(&self) -> bool {
        let metrics = self.get("/metrics").await;
        let mut lines = metrics.lines();
        let leader = lines
            .find(|line| !line.starts_with('#') && line.contains("leader_election_master_status"));
        leader
            .unwrap_or_else(|| panic!("no such metric: {metrics}"))
            .ends_with(" 1")
    }

    /// The answer of its operations port; empty when there is none.
    pub async fn get(&self, path: &str) -> String {
        let mut answer = String::new();
        if let Ok(mut connection) = TcpStream::connect(self.port.address()).await {
            let request =
                format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n");
            connection.write_all(request.as_bytes()).await.ok();
            connection.read_to_string(&mut answer).await.ok();
        }
        answer
    }
}
