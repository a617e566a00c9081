//! Resources as users write them.

use clap::Parser as _;
use kube::api::DynamicObject;
use reckon_operator::args::{Cli, Command};
use reckon_operator::controller::instance::Defaults;
use reckon_operator::controller::stores::service_resource;
use serde_json::{Value, json};

/// Name of the Secret with the login of every server.
pub const LOGIN: &str = "login";

/// The defaults of an operator without further settings.
pub fn defaults() -> Defaults {
    let cli = Cli::parse_from(["reckon-operator", "run"]);
    let Command::Run(run) = cli.command else {
        panic!("another command: {cli:?}");
    };
    run.defaults()
}

/// A resource.
pub fn service(name: &str, spec: &Value) -> DynamicObject {
    DynamicObject::new(name, &service_resource()).data(json!({"spec": spec}))
}

/// The minimum for two pods: an existing database, and no Redis.
pub fn minimal() -> Value {
    json!({
        "mysql": {
            "external": {"host": "db.example.com", "database": "shop", "credentials": {"secretName": LOGIN}},
            "connectionBudget": 60,
        },
        "cache": {"memory": {"allowStale": true}},
    })
}

/// The same with an autoscaler, and with a Redis that the operator runs.
pub fn autoscaled() -> Value {
    let mut spec = minimal();
    spec["autoscaling"] = json!({"minReplicas": 2, "maxReplicas": 6});
    spec["redis"] = json!({"managed": {}});
    spec
}
