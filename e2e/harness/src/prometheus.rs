//! A real Prometheus with the alerts of the chart, whose hours are seconds.

pub mod fault;
pub mod rules;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use self::rules::compressed;
use crate::client::Client;
use crate::eventually::eventually;
use crate::installed::program;
use crate::port::Port;
use crate::process::Process;
use crate::watchdog::Scratch;

/// The label `service` of the operator's series.
pub const OPERATOR: &str = "reckon-operator";
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
        let port = Port::take();
        let itself = json!({"targets": [port.address()]});
        Self::start_at(port, itself).await
    }

    /// A server that scrapes this operator.
    pub async fn of_operator(operator: SocketAddr) -> Self {
        let labels =
            json!({"namespace": "reckon-system", "service": OPERATOR, "pod": "operator-0"});
        let target = json!({"targets": [operator], "labels": labels});
        Self::start_at(Port::take(), target).await
    }

    async fn start_at(port: Port, operator: Value) -> Self {
        let directory = Scratch::new(&std::env::temp_dir(), "reckon-prometheus-");
        let at = |name: &str| directory.path().join(name);
        fs::write(at("alerts.yaml"), compressed(FACTOR)).unwrap();
        let config = json!({
            "global": {"scrape_interval": PERIOD, "scrape_timeout": PERIOD, "evaluation_interval": PERIOD},
            "rule_files": ["alerts.yaml"],
            "scrape_configs": [
                {"job_name": "reckon-api", "file_sd_configs": [{"files": [at("target-*.json")]}]},
                {"job_name": "reckon-operator", "honor_labels": true, "static_configs": [operator]},
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

    /// From now on, the only instance of `service` is scraped at this address. Returns after the first scrape.
    pub async fn scrape(&self, service: &str, address: SocketAddr) {
        self.scrape_pod("test", service, &only_pod(service), address)
            .await;
    }

    /// From now on, this pod of `service` is scraped at this address. Returns after the first scrape.
    pub async fn scrape_pod(&self, namespace: &str, service: &str, pod: &str, address: SocketAddr) {
        let target = json!([{
            "targets": [address],
            "labels": {"namespace": namespace, "service": service, "pod": pod},
        }]);
        // The file is renamed, so that a file of this name is always complete.
        let partial = self.directory.path().join(format!("partial-{pod}"));
        fs::write(&partial, target.to_string()).unwrap();
        fs::rename(partial, self.target(pod)).unwrap();
        let is_up = format!("up{{pod=\"{pod}\"}} == 1");
        eventually(DISCOVERY, async || !self.query(&is_up).await.is_empty()).await;
    }

    /// From now on, the only instance of `service` is not scraped.
    pub fn leave(&self, service: &str) {
        self.leave_pod(&only_pod(service));
    }

    /// From now on, this pod is not scraped.
    pub fn leave_pod(&self, pod: &str) {
        fs::remove_file(self.target(pod)).unwrap();
    }

    fn target(&self, pod: &str) -> PathBuf {
        self.directory.path().join(format!("target-{pod}.json"))
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

/// The pod of a service that has one.
fn only_pod(service: &str) -> String {
    format!("{service}-0")
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
