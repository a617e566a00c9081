//! The program `reckon-api` as a process, on two free ports, with its own environment. At the end of every test, its
//! log, `/metrics` and `/stats` are searched for its passwords and keys.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use http::Method;
use reckon_contract::env::TUNING;
use reckon_harness::exposition::{Exposition, MEDIA_TYPE};
use tempfile::TempDir;

use super::classic;
use super::client::Client;
use super::eventually::eventually;
use super::port::Port;
use super::process::Process;

/// A start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// A process that takes longer to return its figures counts as frozen.
const FIGURES: Duration = Duration::from_secs(2);

/// How to start it. The environment contains only the two listen addresses and the added variables.
pub struct ApiCommand {
    command: Command,
    tuning: Option<TempDir>,
    secrets: Secrets,
    serve: Port,
    ops: Port,
}

/// The program, running until it is dropped.
pub struct ApiProcess {
    /// The process: its log, signals and end.
    pub process: Process,
    _tuning: Option<TempDir>,
    secrets: Secrets,
    serve: Port,
    ops: Port,
}

/// Secrets that no output may contain.
#[derive(Default)]
struct Secrets {
    passwords: Vec<String>,
    keys: Option<PathBuf>,
}

impl ApiCommand {
    /// The program of this build.
    pub fn new() -> Self {
        Self::of(env!("CARGO_BIN_EXE_reckon-api"))
    }

    /// Another program with the same two listen addresses, for example an older version.
    pub fn of(program: impl AsRef<OsStr>) -> Self {
        let (serve, ops) = (Port::take(), Port::take());
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("RECKON_LISTEN", serve.address().to_string())
            .env("RECKON_OPS_LISTEN", ops.address().to_string());
        Self {
            command,
            tuning: None,
            secrets: Secrets::default(),
            serve,
            ops,
        }
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.secrets.add_secret(name, value.as_ref());
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
        for (name, value) in variables {
            self = self.env(name.as_ref().to_str().unwrap(), value);
        }
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Ranks by `Classic`; the other settings are those of the tuning file that was named before.
    #[must_use]
    pub fn classic(mut self) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let named = self.command.get_envs().find(|(name, _)| *name == TUNING);
        let path = classic::write(named.and_then(|(_, file)| file), &directory);
        self.command.env(TUNING, path);
        self.tuning = Some(directory);
        self
    }

    /// Starts it without waiting: see [`ApiProcess::live`] and [`ApiProcess::ready`].
    pub fn spawn(self) -> ApiProcess {
        let mut process = Process::new(self.command);
        process.start();
        ApiProcess {
            process,
            _tuning: self.tuning,
            secrets: self.secrets,
            serve: self.serve,
            ops: self.ops,
        }
    }
}

impl ApiProcess {
    /// Waits until `/livez` returns 200; panics with the log if the process ends, or if this takes too long.
    pub async fn live(&self) {
        self.wait_for_probe("/livez").await;
    }

    /// Waits until `/readyz` returns 200; panics with the log if the process ends, or if this takes too long.
    pub async fn ready(&self) {
        self.wait_for_probe("/readyz").await;
    }

    /// A client of the API that keeps its connections alive.
    pub fn client(&self) -> Client {
        Client::new(self.url())
    }

    /// A client of the operations port, with a connection for each request.
    pub fn ops(&self) -> Client {
        Client::without_keep_alive(format!("http://{}", self.ops.address()))
    }

    /// The metrics as of now.
    pub async fn exposition(&self) -> Exposition {
        let answer = self.ops().get("/metrics").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some(MEDIA_TYPE));
        Exposition::read(&answer.body)
    }

    /// `http://127.0.0.1:port` of the API.
    pub fn url(&self) -> String {
        format!("http://{}", self.serve.address())
    }

    /// Its addresses for a balancer.
    pub fn backend(&self) -> super::balancer::Backend {
        super::balancer::Backend {
            serve: self.serve.address(),
            ops: self.ops.address(),
        }
    }

    async fn wait_for_probe(&self, probe: &str) {
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

impl Secrets {
    fn add_secret(&mut self, name: &str, value: &OsStr) {
        let text = value.to_str().unwrap_or_default();
        match name {
            "DB_PASSWORD"
            | "RECKON_PROVISION_PASSWORD"
            | "RECKON_PROVISION_NEXT_PASSWORD"
            | "RECKON_PROVISION_MIGRATION_PASSWORD"
            | "RECKON_PROVISION_TRAINING_PASSWORD" => self.passwords.push(text.to_owned()),
            "REDIS_URL" => {
                let before_the_host = text.rsplit_once('@').map_or("", |(before, _)| before);
                let password = before_the_host
                    .rsplit_once(':')
                    .map_or("", |(_, word)| word);
                self.passwords.push(password.to_owned());
            }
            "RECKON_API_KEYS" => self.keys = Some(value.into()),
            _ => {}
        }
    }

    /// All secrets, with the present ones of the keys file.
    fn words(&self) -> Vec<String> {
        let keys = self
            .keys
            .as_ref()
            .and_then(|path| fs::read_to_string(path).ok());
        let keys = keys.unwrap_or_default();
        let words = keys
            .lines()
            .map(str::to_owned)
            .chain(self.passwords.clone());
        // A shorter secret may be a part of another word.
        words
            .filter(|word| word.len() >= 8 && !word.starts_with('#'))
            .collect()
    }
}

/// Requests the figures without a client, because a client would need a running runtime. Empty if the process has ended
/// or is frozen.
fn figures(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, FIGURES)?;
    stream.set_read_timeout(Some(FIGURES))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

impl Drop for ApiProcess {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let mut said = Vec::new();
        for (port, path) in [(&self.ops, "/metrics"), (&self.serve, "/stats")] {
            said.extend(figures(port.address(), path));
        }
        self.process.kill();
        said.extend(self.process.logs());
        for word in self.secrets.words() {
            let leak = said.iter().find(|text| text.contains(&word));
            assert!(leak.is_none(), "{word} in {leak:?}");
        }
    }
}
