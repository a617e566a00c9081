//! The Redis that the operator runs, started as its Deployment starts it.

use reckon_harness::eventually::eventually;
use reckon_harness::port::Port;
use reckon_harness::process::Process;
use reckon_operator::args::{Cli, Command as Verb};
use reckon_operator::controller::desired::{Facts, desired};
use reckon_operator::controller::instance::Instance;
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;

use clap::Parser as _;

const UID: &str = "5f0c7f9e-8b0a-4b0e-9b62-0d5a3f1c2e4d";
/// As nobody makes them, and everything that a shell could trip over.
const PASSWORD: &str = r#"s3cret $(id) "it's" `id` \ #1"#;

#[tokio::test]
async fn a_managed_redis_allows_clients_with_the_password_only_the_keys_of_its_service() {
    let redis = Redis::start().await;
    for words in [&["PING"][..], &["GET", "{reckon:other}:key"]] {
        let said = redis.send("", words);
        assert!(said.starts_with("NOAUTH"), "{words:?}: {said}");
    }
    let said = redis.send("another password", &["PING"]);
    assert!(said.contains("WRONGPASS"), "{said}");

    let ours = format!("{{reckon:{UID}}}:key");
    let channel = format!("{{reckon:{UID}}}:invalidations");
    for (words, answer) in [
        (vec!["SET", &ours, "1"], "OK"),
        (vec!["GET", &ours], "1"),
        (vec!["PUBLISH", &channel, "all"], "0"),
    ] {
        assert_eq!(redis.send(PASSWORD, &words), answer, "{words:?}");
    }
    let other = "{reckon:another}:key";
    let script = "return redis.call('GET', KEYS[1])";
    for words in [
        vec!["GET", other],
        vec!["SET", other, "1"],
        vec!["PUBLISH", "{reckon:another}:invalidations", "all"],
        vec!["EVAL", script, "1", other],
        vec!["KEYS", "*"],
        vec!["SCAN", "0"],
        vec!["CONFIG", "GET", "*"],
        vec!["ACL", "LIST"],
        vec!["CLIENT", "LIST"],
        vec!["FLUSHALL"],
        vec!["SHUTDOWN"],
        vec!["MODULE", "LIST"],
        vec!["REPLICAOF", "attacker.example", "6379"],
    ] {
        let said = redis.send(PASSWORD, &words);
        assert!(said.starts_with("NOPERM"), "{words:?}: {said}");
    }
}

#[tokio::test]
async fn the_password_of_a_managed_redis_is_in_no_argument_and_no_log_and_the_probe_needs_an_answer()
 {
    let redis = Redis::start().await;
    let process = &redis.process;
    let arguments = std::fs::read(format!("/proc/{}/cmdline", process.id())).unwrap();
    let arguments = String::from_utf8_lossy(&arguments);
    assert!(arguments.starts_with("redis-server"), "{arguments}");
    assert!(!arguments.contains("s3cret"), "{arguments}");
    assert!(!process.logs().join("\n").contains("s3cret"));

    assert!(redis.probe());
    process.freeze().await;
    assert!(!redis.probe(), "a server that is frozen passes");
    process.thaw();
    assert!(redis.probe());
}

/// A server of the container in the Deployment, but for its port and address.
struct Redis {
    process: Process,
    port: Port,
    probe: Vec<String>,
}

impl Redis {
    async fn start() -> Self {
        let container = container();
        let port = Port::take();
        let [shell, option, script] = texts(&container["command"]).try_into().unwrap();
        let configuration = script.strip_suffix("END\n").unwrap();
        let number = port.number();
        let script = format!("{configuration}bind 127.0.0.1\nport {number}\nEND\n");
        let mut command = Command::new(shell);
        command
            .args([option, script])
            .env("REDISCLI_AUTH", PASSWORD);
        let mut process = Process::new(command);
        process.start();
        let probe = texts(&container["readinessProbe"]["exec"]["command"]);
        let redis = Self {
            process,
            port,
            probe,
        };
        eventually(Duration::from_secs(20), async || redis.probe()).await;
        redis
    }

    /// What the server answers to somebody with that password.
    fn send(&self, password: &str, words: &[&str]) -> String {
        let mut command = client("redis-cli", password);
        let output = command
            .args(["-p", &self.port.number().to_string()])
            .args(words);
        let output = output.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8(said).unwrap().trim().to_owned()
    }

    /// Whether the probe passes, within the time that it has.
    fn probe(&self) -> bool {
        let [shell, option, script] = self.probe.as_slice() else {
            panic!("{:?}", self.probe);
        };
        let redis_cli = format!("redis-cli -p {}", self.port.number());
        assert!(script.contains("redis-cli"), "{script}");
        let mut command = client("timeout", PASSWORD);
        command.args(["2", shell, option, &script.replace("redis-cli", &redis_cli)]);
        command.output().unwrap().status.success()
    }
}

/// A program that logs in to Redis with a password, or not at all.
fn client(program: &str, password: &str) -> Command {
    let mut command = Command::new(program);
    if password.is_empty() {
        command.env_remove("REDISCLI_AUTH");
    } else {
        command.env("REDISCLI_AUTH", password);
    }
    command
}

fn texts(words: &Value) -> Vec<String> {
    let words = words.as_array().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

fn container() -> Value {
    let Verb::Run(run) = Cli::parse_from(["reckon-operator", "run"]).command else {
        panic!("another command");
    };
    let service = json!({
        "apiVersion": "reckon.dev/v1alpha1",
        "kind": "RecommendationService",
        "metadata": {"name": "shop", "namespace": "default", "uid": UID},
        "spec": {
            "mysql": {
                "external": {"host": "db", "database": "shop", "credentials": {"secretName": "login"}},
                "connectionBudget": 30,
            },
            "redis": {"managed": {}},
        },
    });
    let service = serde_json::from_value(service).unwrap();
    let instance = Instance::parse(&service, &run.defaults()).unwrap();
    let redis = desired(&instance, &Facts::default()).redis.unwrap();
    redis.deployment["spec"]["template"]["spec"]["containers"][0].clone()
}
