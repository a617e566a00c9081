//! Resources with a database server that never answers: other resources are not affected.

use crate::cluster::Cluster;
use crate::controllers::Controllers;
use crate::fixture::Fixture;
use crate::jobs::Jobs;
use crate::operator::Operator;
use crate::provisioning::admin;
use crate::spec;
use reckon_harness::sql_server::Flavour;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const DEAD: usize = 64;
/// Allowed delay of a new resource on a busy machine. If dead hosts delayed it, each of them would add 5 s.
const LEEWAY: Duration = Duration::from_secs(3);

#[tokio::test]
async fn resources_whose_server_never_answers_delay_no_other_tenant() {
    // The kernel completes connections to it, but no program accepts or answers them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap().port();
    let server = Flavour::MariaDb.start().await;
    let cluster = Cluster::own().await;
    let (tenant, other) = (
        Fixture::new(&cluster, "tenant").await,
        Fixture::new(&cluster, "other").await,
    );
    admin(&tenant).await;
    admin(&other).await;
    let _operator = Operator::start_with(&cluster.operator_kubeconfig().await, &[], "one").await;
    let _controllers = Controllers::play(&other);
    let _jobs = [&tenant, &other].map(Jobs::run);

    let before = time_to_ready(&other, "before", server.port()).await;
    let dead: Vec<String> = (0..DEAD).map(|number| format!("dead-{number}")).collect();
    // The messages of two of them are representative of all.
    let (first, others) = dead.split_at(2);
    for name in first {
        tenant.create(name, provisioned(name, silent)).await;
    }
    for name in first {
        let said = tenant
            .until_condition(name, "DatabaseReachable", "False", "Unreachable")
            .await;
        assert!(said.contains("no answer within 5 s"), "{said}");
    }
    for name in others {
        tenant.create(name, provisioned(name, silent)).await;
    }
    let beside = time_to_ready(&other, "beside", server.port()).await;
    println!("ready after {before:?}, and beside {DEAD} dead hosts after {beside:?}");
    assert!(beside < before + LEEWAY, "{before:?} {beside:?}");
}

/// How long a new resource with a database of its own takes to be ready.
async fn time_to_ready(fixture: &Fixture, name: &str, port: u16) -> Duration {
    let began = Instant::now();
    fixture.create(name, provisioned(name, port)).await;
    fixture
        .until_condition(name, "Ready", "True", "PodsReady")
        .await;
    began.elapsed()
}

fn provisioned(name: &str, port: u16) -> Value {
    let mut spec = spec::minimal();
    spec["mysql"] = json!({
        "provisioned": {
            "host": "127.0.0.1",
            "port": port,
            "database": name.replace('-', "_"),
            "admin": {"secretName": "admin"},
        },
        "migrate": {"enabled": false},
        "connectionBudget": 20,
    });
    spec
}
