use super::{Promise, Server, is_service_beside, neighbours, promises, touched};
use crate::controller::sample::{self, FULL, MINIMAL, PROVISIONED};
use crate::controller::stores::named;
use kube::api::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use std::sync::Arc;

/// A resource with this part of its spec.
fn service(namespace: &str, name: &str, mysql: &Value) -> Arc<DynamicObject> {
    let mut value = sample::value(MINIMAL);
    value["metadata"]["namespace"] = json!(namespace);
    value["metadata"]["name"] = json!(name);
    value["spec"]["mysql"] = mysql.clone();
    Arc::new(sample::object(&value))
}

fn external(host: &str, budget: u32) -> Value {
    json!({"external": {"host": host}, "connectionBudget": budget})
}

fn provisioned(host: &str, budget: u32) -> Value {
    json!({"provisioned": {"host": host}, "connectionBudget": budget})
}

fn promise(namespace: &str, name: &str, connections: u32) -> Promise {
    Promise {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        connections,
    }
}

#[test]
fn a_server_is_the_same_however_its_name_is_written() {
    let same = [
        ("mysql", "data"),
        ("MySQL", "data"),
        ("mysql.data", "shop"),
        ("mysql.data.", "shop"),
        ("mysql.data.svc", "shop"),
        ("Mysql.Data.SVC.", "shop"),
        ("mysql.data.svc.cluster.local", "data"),
        ("mysql.data.svc.cluster.local.", "shop"),
    ];
    let others = [
        ("mysql", "shop"),
        ("mysql.data.example", "data"),
        ("0.mysql.data.svc", "data"),
        ("10.0.0.7", "data"),
        ("::1", "data"),
        ("localhost", "data"),
    ];
    let server = |(host, namespace): (&str, &str)| Server::new(host, 3306, namespace);
    for written in same {
        assert_eq!(server(written), server(same[0]), "{written:?}");
    }
    for (number, one) in others.iter().enumerate() {
        assert_ne!(server(*one), server(same[0]), "{one:?}");
        for other in &others[number + 1..] {
            assert_ne!(server(*one), server(*other));
        }
    }
    assert_ne!(server(same[0]), Server::new("mysql", 3307, "data"));
    // A host with a dot, an address and the pod itself mean the same everywhere.
    for host in [
        "db.example.com",
        "10.0.0.7",
        "::1",
        "localhost",
        "LOCALHOST",
    ] {
        assert_eq!(server((host, "shop")), server((host, "data")), "{host}");
        assert!(!is_service_beside(host));
    }
}

#[test]
fn neighbours_are_those_that_name_the_same_server_the_greatest_first() {
    let instance = sample::instance(PROVISIONED);
    let services = [
        service("shop", "recommendations", &provisioned("db.example", 60)),
        service("shop", "a", &external("db.example", 10)),
        service("data", "recommendations", &provisioned("DB.example.", 20)),
        service("data", "z", &external("db.example", 10)),
        service("example", "beside", &external("db", 7)),
        service("shop", "other", &external("db.example.com", 500)),
        service("shop", "beside", &external("db", 500)),
    ];
    let mut elsewhere = external("db.example", 500);
    elsewhere["external"]["port"] = json!(3307);
    let elsewhere = service("shop", "port", &elsewhere);
    let services = services.iter().chain([&elsewhere]);
    assert_eq!(
        neighbours(&instance, services.map(|service| &**service)),
        [
            promise("data", "recommendations", 20),
            promise("data", "z", 10),
            promise("shop", "a", 10),
            promise("example", "beside", 7),
        ]
    );
}

#[test]
fn resources_that_cannot_be_read_promise_nothing_and_hide_no_other() {
    let unreadable = [
        json!(null),
        json!("yes"),
        json!([1]),
        json!({}),
        json!({"external": "db.example", "connectionBudget": 5}),
        json!({"external": {"host": 5}, "connectionBudget": 5}),
        json!({"external": {"host": "db.example"}}),
        json!({"external": {"host": "db.example"}, "connectionBudget": -5}),
        json!({"external": {"host": "db.example"}, "connectionBudget": "60"}),
        json!({"external": {"host": "db.example"}, "connectionBudget": 5_000_000_000_u64}),
        json!({"external": {"host": "db.example", "port": 65536}, "connectionBudget": 5}),
        json!({"external": {"host": "db.example", "port": "x"}, "connectionBudget": 5}),
    ];
    let mut services: Vec<_> = unreadable
        .iter()
        .enumerate()
        .map(|(number, mysql)| service("shop", &format!("broken-{number}"), mysql))
        .collect();
    services.push(Arc::new(DynamicObject {
        types: None,
        metadata: ObjectMeta::default(),
        data: Value::Null,
    }));
    services.push(service("shop", "whole", &external("db.example", 9)));
    let instance = sample::instance(PROVISIONED);
    let found = neighbours(&instance, services.iter().map(|service| &**service));
    assert_eq!(found, [promise("shop", "whole", 9)]);
    assert_eq!(promises(&services).len(), 1);
}

#[test]
fn the_samples_are_read_as_they_are_parsed() {
    for yaml in [MINIMAL, FULL, PROVISIONED] {
        let instance = sample::instance(yaml);
        let service = Arc::new(sample::object(&sample::value(yaml)));
        let database = instance.database();
        let server = Server::new(database.host, database.port, &instance.namespace);
        let own = promise(
            &instance.namespace,
            &instance.name,
            instance.budget.connections,
        );
        assert_eq!(promises(&[service])[&server], [own]);
    }
}

#[test]
fn resources_on_a_server_whose_budgets_change_are_reconciled() {
    let before = [
        service("shop", "a", &provisioned("db", 10)),
        service("shop", "b", &external("db", 10)),
        service("shop", "c", &provisioned("other", 10)),
    ];
    let with = |changed: &[Arc<DynamicObject>]| {
        let services = [&before[..], changed].concat();
        touched(&promises(&before), &promises(&services), &services)
    };
    assert!(with(&[]).is_empty());
    // Only a resource with a provisioned database has the server's limit.
    let a = [named("a", "shop")];
    assert_eq!(with(&[service("data", "d", &external("db.shop", 5))]), a);
    assert!(with(&[service("data", "d", &external("db", 5))]).is_empty());

    let lowered = [
        Arc::clone(&before[0]),
        service("shop", "b", &external("db", 9)),
        Arc::clone(&before[2]),
    ];
    let changed = touched(&promises(&before), &promises(&lowered), &lowered);
    assert_eq!(changed, a);
    let gone = [Arc::clone(&before[0]), Arc::clone(&before[2])];
    assert_eq!(touched(&promises(&before), &promises(&gone), &gone), a);
}
