//! A constant number of requests a second through the Service, by clients that keep their connections.

use crate::cluster::Cluster;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Default number of clients; each has its own connection.
const CLIENTS: u32 = 10;

/// The results of the clients.
#[derive(Debug, Deserialize)]
pub struct ClientReport {
    /// Requests answered 200.
    pub answered: u32,
    /// Requests with other answers, and broken connections.
    pub failed: u32,
    /// The first few of these failures.
    pub examples: Vec<String>,
    /// The distinct answers for each user, by the period in which they were requested.
    pub kept: BTreeMap<String, Answers>,
}

/// The distinct answers for each user.
pub type Answers = BTreeMap<u32, Vec<String>>;

impl ClientReport {
    /// At least `least` requests were answered, and none failed.
    #[track_caller]
    pub fn assert_all_answered(&self, least: u32) {
        eprintln!("        {} answered, {} failed", self.answered, self.failed);
        assert!(
            self.failed == 0 && self.answered >= least,
            "{}",
            self.examples.join("\n")
        );
    }
}

/// Clients that request at a constant rate.
#[derive(Clone, Copy, Debug)]
pub struct Clients {
    /// Number of clients. Each has its own connection, and one request at a time.
    pub number: u32,
    /// Requests a second of all clients together, if answers arrive in time.
    pub rate: u32,
    /// The users that they request, from 1.
    pub users: u32,
    /// Number of requests for which a connection is used, so that new pods get their share; 0: no limit.
    pub requests: u32,
}

/// Requests that continue until [`Load::stop`], or for an hour.
pub struct Load {
    child: Child,
    stop: tempfile::NamedTempFile,
}

impl Load {
    /// Starts `rate` requests a second to a service.
    pub fn start(cluster: &Cluster, service: &str, rate: u32) -> Self {
        Self::start_for(cluster, service, rate, 4000)
    }

    /// The same for the first `users` users.
    pub fn start_for(cluster: &Cluster, service: &str, rate: u32, users: u32) -> Self {
        let number = CLIENTS;
        Self::with(
            cluster,
            service,
            Clients {
                number,
                rate,
                users,
                requests: 0,
            },
        )
    }

    /// Starts these clients.
    pub fn with(cluster: &Cluster, service: &str, clients: Clients) -> Self {
        let Clients {
            number,
            rate,
            users,
            requests,
        } = clients;
        let address = cluster.address(service);
        let stop = tempfile::NamedTempFile::new_in(cluster.home()).unwrap();
        let pause = Duration::from_secs(1) * number / rate;
        let child = cluster
            .command_inside(&[
                "python3",
                "-c",
                include_str!("load.py"),
                &address,
                &number.to_string(),
                &pause.as_secs_f64().to_string(),
                stop.path().to_str().unwrap(),
                &users.to_string(),
                &requests.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, stop }
    }

    /// Begins a period: the answers to later requests are kept under its name.
    pub fn period(&self, name: &str) {
        std::fs::write(self.stop.path(), name).unwrap();
    }

    /// Ends the clients; what they saw.
    pub fn stop(self) -> ClientReport {
        self.stop.close().unwrap();
        let output = self.child.wait_with_output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
