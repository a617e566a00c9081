//! The program `reckon-api` as a process, on two free ports, in an environment of its own.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

use http::Method;

use super::client::Client;
use super::eventually::eventually;
use super::port::Port;
use super::process::Process;

/// A start on a busy machine.
const START: Duration = Duration::from_secs(20);

/// How to start it: the environment is empty but for the two listen addresses and what is added.
pub struct ApiCommand {
    command: Command,
    serve: Port,
    ops: Port,
}

/// The program, running until it is dropped.
pub struct ApiProcess {
    /// The process: its log, signals and end.
    pub process: Process,
    serve: Port,
    ops: Port,
}

impl ApiCommand {
    /// The program of this build.
    pub fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_reckon-api"))
    }

    /// Another program with the same two listen addresses: an older version, say.
    pub fn of(program: impl AsRef<OsStr>) -> Self {
        let (serve, ops) = (Port::take(), Port::take());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("RECKON_LISTEN", serve.address().to_string())
            .env("RECKON_OPS_LISTEN", ops.address().to_string());
        Self {
            command,
            serve,
            ops,
        }
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Adds or replaces variables: `.envs(db.environment("reckon"))`.
    #[must_use]
    pub fn envs<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.command.envs(variables);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts it and does not wait: see [`ApiProcess::live`] and [`ApiProcess::ready`].
    pub fn spawn(self) -> ApiProcess {
        let mut process = Process::new(self.command);
        process.start();
        ApiProcess {
            process,
            serve: self.serve,
            ops: self.ops,
        }
    }
}

impl ApiProcess {
    /// Waits until `/livez` says 200; panics with its log if it ends or does not.
    pub async fn live(&self) {
        self.answers("/livez").await;
    }

    /// Waits until `/readyz` says 200; panics with its log if it ends or does not.
    pub async fn ready(&self) {
        self.answers("/readyz").await;
    }

    /// A client of the API that keeps its connections alive.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// A client of the operations port, with a connection for each request.
    pub fn ops(&self) -> Client {
        Client::without_keep_alive(format!("http://{}", self.ops.address()))
    }

    /// `http://127.0.0.1:port` of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.serve.address())
    }

    /// Where a balancer finds it.
    pub fn backend(&self) -> super::balancer::Backend {
        super::balancer::Backend {
            serve: self.serve.address(),
            ops: self.ops.address(),
        }
    }

    async fn answers(&self, probe: &str) {
        let ops = self.ops();
        let look = async || {
            assert!(
                self.process.is_running(),
                "it ended instead of answering {probe}"
            );
            let answer = ops.send(Method::GET, probe, "").await?;
            anyhow::ensure!(answer.status == 200, "{} {}", answer.status, answer.body);
            Ok(())
        };
        eventually(START, look).await;
    }
}
