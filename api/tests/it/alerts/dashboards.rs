//! The queries of the dashboards.

use serde_json::Value;

const SERVICE: &str = include_str!("../../../../charts/reckon/monitoring/service.json");
const OPERATOR: &str = include_str!("../../../../charts/reckon/monitoring/operator.json");

/// One query of a panel.
pub struct Panel {
    /// The panel's title.
    pub title: String,
    /// The query, with values for Grafana's variables.
    pub expression: String,
}

/// Every query of both dashboards.
pub fn panels() -> Vec<Panel> {
    let mut panels = of_the_service();
    panels.extend(read(OPERATOR));
    panels
}

/// Every query of the dashboard of services.
pub fn of_the_service() -> Vec<Panel> {
    read(SERVICE)
}

fn read(dashboard: &str) -> Vec<Panel> {
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let queries = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(|target| Panel {
            title: panel["title"].as_str().unwrap().to_owned(),
            expression: filled(target["expr"].as_str().unwrap()),
        })
    });
    queries.collect()
}

/// The query with the variables at "All", and with the shortest range that contains two scrapes of the tests.
fn filled(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "10s")
        .replace("$cluster", ".*")
        .replace("$namespace", ".*")
        .replace("$service", ".*")
}

#[test]
fn every_query_has_its_variables_filled_in() {
    let panels = panels();
    assert!(panels.len() > 60, "{}", panels.len());
    for panel in panels {
        assert!(!panel.expression.contains('$'), "{}", panel.expression);
    }
}
