//! Resources that name the same database server, which is a real one.

use crate::cluster::Cluster;
use crate::fixture::Fixture;
use crate::jobs::Jobs;
use crate::operator::Operator;
use crate::provisioning::admin;
use crate::spec;
use reckon_harness::sql_server::Flavour;
use serde_json::json;

const BUDGET: &str = "BudgetFeasible";

#[tokio::test]
async fn budgets_that_together_exceed_a_servers_limit_are_reported_and_cleared() {
    let server = Flavour::MariaDb
        .start_with(&["--max-connections=151"])
        .await;
    let cluster = Cluster::shared().await;
    let fixture = Fixture::new(cluster, "servers").await;
    let elsewhere = Fixture::new(cluster, "servers-elsewhere").await;
    admin(&fixture).await;
    let mut made = spec::minimal();
    made["mysql"] = json!({
        "provisioned": {
            "host": "127.0.0.1",
            "port": server.port(),
            "database": "made",
            "admin": {"secretName": "admin"},
        },
        "connectionBudget": 100,
    });
    let namespaces = [fixture.namespace.as_str(), &elsewhere.namespace];
    let _operator =
        Operator::start_with(&cluster.operator_kubeconfig().await, &namespaces, "one").await;
    let _jobs = Jobs::run(&fixture);
    fixture.create("made", made).await;
    let mut beside = spec::minimal();
    beside["mysql"]["external"]["host"] = json!("127.0.0.1");
    beside["mysql"]["external"]["port"] = json!(server.port());
    beside["mysql"]["connectionBudget"] = json!(52);
    elsewhere.create("beside", beside).await;
    let said = fixture
        .until_condition("made", BUDGET, "False", "ExceedsServerLimit")
        .await;
    assert!(said.contains("resources in other namespaces"), "{said}");
    assert!(
        !said.contains("elsewhere") && !said.contains("52"),
        "{said}"
    );

    let lowered = json!({"mysql": {"connectionBudget": 51}});
    elsewhere.change("beside", lowered).await;
    fixture
        .until_condition("made", BUDGET, "True", "WithinBudget")
        .await;
    let raised = json!({"mysql": {"connectionBudget": 60}});
    elsewhere.change("beside", raised).await;
    fixture
        .until_condition("made", BUDGET, "False", "ExceedsServerLimit")
        .await;
    elsewhere
        .services()
        .delete("beside", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    fixture
        .until_condition("made", BUDGET, "True", "WithinBudget")
        .await;
}
