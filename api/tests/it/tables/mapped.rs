//! Tables and views with other names, with text as user ids, with one table only.

use super::address;
use crate::golden::{Vector, compare_for, encoded, mapping, text_ids, times, vectors};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::service::Service;
use reckon_api::store::mysql::MySql;
use reckon_contract::Tuning;
use reckon_contract::tables::Tables;
use reckon_contract::tuning::Algorithm;
use serde_json::{Value, json};
use sqlx::{MySqlConnection, QueryBuilder};
use std::time::Duration;

const MAPPING: &str = "{userId: Text, \
    searches: {table: shop searches, user: who, time: when, category: group}, \
    purchases: {table: orders, user: customer, time: paid at, category: kind}}";

fn store(server: &SqlServer, database: &str, tables: &Tables) -> MySql {
    MySql::new(&address(server, database), Duration::from_secs(10), tables)
}

/// A service over `tables`, which recommends every category of a user.
fn service(server: &SqlServer, database: &str, tables: Tables) -> Service {
    let store = store(server, database, &tables);
    let mut tuning = Tuning {
        tables,
        ..Tuning::default()
    };
    tuning.recommendation.algorithm = Algorithm::NextBasket;
    Service::over(store, tuning)
}

/// Tables for [`MAPPING`] whose user ids have this type.
async fn create(server: &SqlServer, database: &str, kind: &str) {
    server
        .execute(format!(
            "CREATE DATABASE `{database}`; USE `{database}`; \
             CREATE TABLE `shop searches` (`group` VARCHAR(255) CHARACTER SET utf8mb4, who {kind}, `when` DATETIME(6)); \
             CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer {kind}, `paid at` TIMESTAMP NULL, \
                kind VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, KEY (customer, `paid at`, kind))"
        ))
        .await;
}

async fn insert(session: &mut MySqlConnection, database: &str, users: &[(String, &Vector)]) {
    for (table, columns, is_search) in [
        ("`shop searches`", "(who, `when`, `group`)", true),
        ("orders", "(customer, `paid at`, kind)", false),
    ] {
        let rows: Vec<_> = users
            .iter()
            .flat_map(|(user, vector)| {
                let rows = if is_search {
                    &vector.searches
                } else {
                    &vector.purchases
                };
                times(rows.len())
                    .zip(rows)
                    .map(move |(time, category)| (user, time, category))
            })
            .collect();
        for rows in rows.chunks(5000) {
            let mut query = QueryBuilder::<sqlx::MySql>::new(format!(
                "INSERT INTO `{database}`.{table} {columns} "
            ));
            query.push_values(rows, |mut row, (user, time, category)| {
                row.push_bind(*user).push_bind(time).push_bind(*category);
            });
            query.build().execute(&mut *session).await.unwrap();
        }
    }
}

async fn users_with_text_ids_get_the_golden_answers(flavour: Flavour) {
    let server = flavour.start().await;
    let kinds = [
        "VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        "VARCHAR(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        "VARBINARY(64)",
    ];
    let vectors = vectors();
    let users: Vec<(String, &Vector)> = text_ids().into_iter().zip(&vectors).collect();
    let ids: Vec<Value> = text_ids().into_iter().map(Value::from).collect();
    let tables = mapping(MAPPING);
    for (n, kind) in kinds.into_iter().enumerate() {
        let database = format!("reckon_{n}");
        create(&server, &database, kind).await;
        insert(&mut server.admin().await, &database, &users).await;
        compare_for(
            store(&server, &database, &tables),
            tables.clone(),
            &vectors,
            &ids,
        )
        .await;
        println!("{flavour:?} {kind}: 100 of 100");
    }
}

/// Such an id is looked up beside others, whose answers it must not change.
async fn a_user_whose_id_the_column_cannot_express_has_no_rows(flavour: Flavour) {
    let server = flavour.start().await;
    create(&server, "reckon_x", "VARCHAR(64) CHARACTER SET latin1").await;
    let vectors = vectors();
    let full = vectors
        .iter()
        .find(|vector| vector.purchases.len() > 3)
        .unwrap();
    insert(
        &mut server.admin().await,
        "reckon_x",
        &[("bob".to_owned(), full)],
    )
    .await;
    let tables = mapping(MAPPING);
    let mut tuning = Tuning {
        tables: tables.clone(),
        ..Tuning::default()
    };
    tuning.recommendation.algorithm = Algorithm::Classic;
    let service = Service::over(store(&server, "reckon_x", &tables), tuning);
    let batch = format!(
        "/batch-recommend?user_ids={}",
        encoded("bob,日本,Bob,bob ,é")
    );
    let batch = service.get(&batch).await.json();
    assert_eq!(batch["successful"], 5, "{batch}");
    assert_eq!(batch["results"][0], full.answer("bob"));
    for (result, user) in batch["results"].as_array().unwrap()[1..]
        .iter()
        .zip(["日本", "Bob", "bob ", "é"])
    {
        assert_eq!(result["user_id"], user);
        assert_eq!(result["message"], "No data found for this user", "{user}");
    }
}

async fn integers_in_a_text_column_are_rejected_by_name(flavour: Flavour) {
    let server = flavour.start().await;
    create(&server, "reckon_x", "VARCHAR(64)").await;
    let tables = mapping(&MAPPING.replace("userId: Text, ", ""));
    let service = service(&server, "reckon_x", tables);
    assert_eq!(service.get("/recommend/7").await.status, 503);
    let health = service.get("/health").await.json();
    assert_eq!(
        health["database_error"], "user ids are not integers",
        "{health}"
    );
}

/// Integers of every type, the greatest of `BIGINT UNSIGNED` included.
async fn integer_ids_of_every_type_are_found(flavour: Flavour) {
    let server = flavour.start().await;
    for (n, (kind, id)) in [
        ("TINYINT UNSIGNED", "255"),
        ("INT", "-2147483648"),
        ("BIGINT UNSIGNED", "18446744073709551615"),
        ("BIGINT UNSIGNED ZEROFILL", "9223372036854775808"),
        ("DECIMAL(20, 0)", "18446744073709551615"),
        ("BIGINT", "-9223372036854775808"),
    ]
    .into_iter()
    .enumerate()
    {
        let database = format!("reckon_{n}");
        create(&server, &database, kind).await;
        server
            .execute(format!("INSERT INTO `{database}`.orders (customer, `paid at`, kind) VALUES ({id}, NOW(), 'books')"))
            .await;
        let tables = mapping(&MAPPING.replace("userId: Text, ", ""));
        let service = service(&server, &database, tables);
        let answer = service.get(&format!("/recommend/{id}")).await;
        assert_eq!(answer.status, 200, "{kind}: {}", answer.body);
        assert!(
            answer.body.starts_with(&format!("{{\"user_id\":{id},")),
            "{}",
            answer.body
        );
        assert_eq!(
            answer.json()["recommendations"]["recommended_categories"],
            json!(["books"]),
            "{kind}"
        );
        let other = service.get("/recommend/77").await.json();
        assert_eq!(other["metadata"]["purchase_count"], 0, "{kind}");
    }
}

/// Purchases only, joined from two tables of a shop, paid ones only.
async fn a_view_over_orders_and_their_items_is_read(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "CREATE DATABASE reckon_v; USE reckon_v; \
             CREATE TABLE orders (order_id BIGINT PRIMARY KEY, customer CHAR(36) CHARACTER SET ascii, placed_at DATETIME, \
                state VARCHAR(10), KEY (customer, placed_at)); \
             CREATE TABLE order_items (order_id BIGINT, product VARCHAR(50), kind VARCHAR(50), KEY (order_id)); \
             CREATE VIEW bought AS SELECT o.customer, o.placed_at, i.kind, o.state = 'paid' AS paid \
                FROM orders o JOIN order_items i ON i.order_id = o.order_id; \
             INSERT INTO orders VALUES (1, '6f1c9a52-0c1e-4f9c-a7a6-000000000001', '2026-01-01', 'paid'), \
                (2, '6f1c9a52-0c1e-4f9c-a7a6-000000000001', '2026-01-02', 'open'), (3, 'someone else', '2026-01-02', 'paid'); \
             INSERT INTO order_items VALUES (1, 'a', 'books'), (1, 'b', 'toys'), (2, 'c', 'cars'), (3, 'd', 'tea')",
        )
        .await;
    let names = "{table: bought, user: customer, time: placed_at, category: kind, success: paid, onlySuccessful: true}";
    for (names, expected) in [
        (names.to_owned(), json!(["books", "toys"])),
        (
            names.replace("true", "false"),
            json!(["books", "cars", "toys"]),
        ),
    ] {
        let tables = mapping(&format!(
            "{{userId: Text, searches: {{table: ''}}, purchases: {names}}}"
        ));
        let service = service(&server, "reckon_v", tables);
        let answer = service
            .get("/recommend/6f1c9a52-0c1e-4f9c-a7a6-000000000001")
            .await
            .json();
        let mut categories: Vec<String> =
            serde_json::from_value(answer["recommendations"]["recommended_categories"].clone())
                .unwrap();
        categories.sort_unstable();
        assert_eq!(json!(categories), expected);
        assert_eq!(answer["metadata"]["search_count"], 0);
    }
}

on_each_flavour!(
    users_with_text_ids_get_the_golden_answers,
    a_user_whose_id_the_column_cannot_express_has_no_rows,
    integers_in_a_text_column_are_rejected_by_name,
    integer_ids_of_every_type_are_found,
    a_view_over_orders_and_their_items_is_read,
);
