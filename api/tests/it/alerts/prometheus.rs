//! A real Prometheus with the alerts of the chart, whose hours are seconds.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::rules::compressed;
use crate::harness::client::Client;
use crate::harness::eventually::eventually;
use crate::harness::installed::program;
use crate::harness::port::Port;
use crate::harness::process::Process;
use crate::harness::watchdog::Scratch;

/// An hour of the alerts is 24 s here, five minutes are two.
const FACTOR: u64 = 150;
/// Time between two scrapes, and between two evaluations.
const PERIOD: &str = "250ms";
/// A start on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Prometheus takes up new targets every 5 s, in two steps, and a process has to start.
const DISCOVERY: Duration = Duration::from_secs(40);

/// The server, which runs until it is dropped.
pub struct Prometheus {
    _process: Process,
    client: Client,
    directory: Scratch,
    _port: Port,
}

/// One sample of an answer.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value; NaN is one.
    pub value: f64,
}

impl Prometheus {
    /// A server that scrapes only itself, in place of the operator.
    pub async fn start() -> Self {
        let directory = Scratch::new(&std::env::temp_dir(), "reckon-prometheus-");
        let port = Port::take();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("alerts.yaml"), compressed(FACTOR)).unwrap();
        let config = json!({
            "global": {"scrape_interval": PERIOD, "scrape_timeout": PERIOD, "evaluation_interval": PERIOD},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {"job_name": "reckon-api", "file_sd_configs": [{"files": [at("target-*.json")]}]},
                {"job_name": "reckon-operator", "static_configs": [{"targets": [port.address().to_string()]}]},
            ],
        });
        fs::write(at("prometheus.yml"), config.to_string()).unwrap();
        let mut command = Command::new(program("prometheus", "prometheus"));
        command
            .current_dir(directory.path())
            .args([
                "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                "--log.level=warn",
            ])
            // A removed target disappears soon.
            .arg("--query.lookback-delta=2s")
            .arg(format!("--web.listen-address={}", port.address()));
        let mut process = Process::new(command);
        process.start();
        let prometheus = Self {
            _process: process,
            client: Client::new(format!("http://{}", port.address())),
            directory,
            _port: port,
        };
        let ready = async || {
            let answer = prometheus
                .client
                .send(http::Method::GET, "/-/ready", "")
                .await?;
            anyhow::ensure!(answer.status == 200, "{}", answer.body);
            Ok(())
        };
        eventually(START, ready).await;
        prometheus
    }

    /// From now on, an instance of `service` is scraped at this address. Returns after the first scrape.
    pub async fn scrape(&self, service: &str, address: SocketAddr) {
        let target = json!([{
            "targets": [address.to_string()],
            "labels": {"namespace": "test", "service": service, "pod": format!("{service}-0")},
        }]);
        // The file is renamed, so that a file of this name is always complete.
        let partial = self.directory.path().join(format!("partial-{service}"));
        fs::write(&partial, target.to_string()).unwrap();
        fs::rename(partial, self.target(service)).unwrap();
        let is_up = format!("up{{service=\"{service}\"}} == 1");
        eventually(DISCOVERY, async || !self.query(&is_up).await.is_empty()).await;
    }

    /// From now on, no instance of `service` is scraped.
    pub fn leave(&self, service: &str) {
        fs::remove_file(self.target(service)).unwrap();
    }

    fn target(&self, service: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("target-{service}.json"))
    }

    /// The samples of an expression, now.
    pub async fn query(&self, expression: &str) -> Vec<Sample> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let answer = self
            .client
            .get(&format!("/api/v1/query?query={query}"))
            .await;
        assert_eq!(answer.status, 200, "{expression}: {}", answer.body);
        let result = answer.json()["data"]["result"].take();
        result.as_array().unwrap().iter().map(sample).collect()
    }

    /// The texts of firing alerts, with the values filled in.
    pub async fn annotations(&self) -> Vec<Value> {
        let answer = self.client.get("/api/v1/alerts").await.json();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        alerts
            .iter()
            .map(|alert| alert["annotations"].clone())
            .collect()
    }
}

fn sample(result: &Value) -> Sample {
    let labels = result["metric"].as_object().unwrap().iter();
    Sample {
        labels: labels
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect(),
        value: result["value"][1].as_str().unwrap().parse().unwrap(),
    }
}
