//! A service over a shop's own tables: a view over orders and their items, UUIDs as user ids, and new rows that are followed.

use super::{ROLLOUT, SOON};
use reckon_e2e::cluster::Cluster;
use serde_json::{Value, json};

const CUSTOMER: &str = "6f1c9a52-0c1e-4f9c-a7a6-000000000001";

/// The shop's own tables, which exist before Reckon is installed.
const SHOP: &str = "CREATE DATABASE boutique; USE boutique; \
    CREATE TABLE orders (order_id BIGINT PRIMARY KEY, customer CHAR(36) CHARACTER SET ascii, placed_at DATETIME, \
        KEY (customer, placed_at)); \
    CREATE TABLE order_items (item_id BIGINT AUTO_INCREMENT PRIMARY KEY, order_id BIGINT, department VARCHAR(50), \
        KEY (order_id, department)); \
    CREATE VIEW bought AS SELECT o.customer, o.placed_at, i.department, i.item_id \
        FROM orders o JOIN order_items i ON i.order_id = o.order_id; \
    INSERT INTO orders VALUES (1, '6f1c9a52-0c1e-4f9c-a7a6-000000000001', '2026-01-01'), \
        (2, '6f1c9a52-0c1e-4f9c-a7a6-000000000001', '2026-01-02'), (3, 'somebody else', '2026-01-02'); \
    INSERT INTO order_items (order_id, department) VALUES (1, 'books'), (1, 'tea'), (2, 'books'), (3, 'cars'); \
    CREATE USER boutique IDENTIFIED BY 'only-for-a-test'; GRANT SELECT ON boutique.* TO boutique;";

pub fn views_and_uuids(cluster: &Cluster) {
    cluster.mysql(SHOP);
    cluster.apply(include_str!("own_tables.yaml"));
    cluster.settled_of("boutique", 1, ROLLOUT);
    cluster.wait_for("boutique", "Ready=True ", SOON);
    // A Service leads to a new pod a moment after the pod is ready.
    cluster.eventually(SOON, "the service answers", || {
        cluster.get_from("boutique", "/health").0 == 200
    });
    assert_eq!(categories(cluster), json!(["books", "tea"]));
    let (_, health) = cluster.get_from("boutique", "/health");
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!(health["freshness"]["purchases"], "sequence", "{health}");

    // A plain purchase by the shop, which does not use Reckon's API.
    cluster.mysql(
        "INSERT INTO boutique.orders VALUES (4, '6f1c9a52-0c1e-4f9c-a7a6-000000000001', '2026-01-03'); \
         INSERT INTO boutique.order_items (order_id, department) VALUES (4, 'bikes')",
    );
    cluster.eventually(SOON, "the purchase is in the answer", || {
        categories(cluster) == json!(["books", "bikes", "tea"])
    });
    cluster.kubectl("delete recsvc boutique --timeout=60s");
    cluster.kubectl("delete secret boutique-db-login");
    cluster.mysql("DROP DATABASE boutique; DROP USER boutique");
}

fn categories(cluster: &Cluster) -> Value {
    let (code, body) = cluster.get_from("boutique", &format!("/recommend/{CUSTOMER}"));
    assert_eq!(code, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["user_id"], CUSTOMER);
    answer["recommendations"]["recommended_categories"].clone()
}
