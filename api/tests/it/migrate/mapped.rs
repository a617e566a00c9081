//! Tables with other names: missing ones, existing ones and views.

use super::{Ran, command, run};
use crate::golden::mapping;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::service::Service;
use crate::tables::address;
use reckon_api::store::mysql::MySql;
use reckon_api::store::sqlite::Sqlite;
use reckon_contract::Tuning;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use std::time::Duration;

/// Names with blanks, quotes, dots, reserved words and characters beyond ASCII.
const HOSTILE: &str = r#"{userId: Text,
    searches: {table: "select", user: "from", time: "a.b", category: "größe \"x\"", text: "it's", success: "--"},
    purchases: {table: "order 'items'; DROP TABLE x", user: "the user", time: "日時", category: "group", success: "null", onlySuccessful: true}}"#;

async fn migrate(server: &SqlServer, database: &str, tables: &str) -> Ran {
    run(command(server, database, "migrate").env("RECKON_TABLES", tables)).await
}

/// The columns of an index, in their order.
async fn index(server: &SqlServer, database: &str, table: &str, index: &str) -> Vec<String> {
    let select = "SELECT CAST(COLUMN_NAME AS CHAR) FROM information_schema.STATISTICS \
                  WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND INDEX_NAME = ? ORDER BY SEQ_IN_INDEX";
    let columns = sqlx::query_scalar(select);
    let columns = columns.bind(database).bind(table).bind(index);
    columns.fetch_all(&mut server.admin().await).await.unwrap()
}

async fn missing_tables_are_created_whatever_their_names_are(flavour: Flavour) {
    let server = flavour.start().await;
    let items = "order 'items'; DROP TABLE x";
    for done in ["table and index created", "index exists"] {
        let ran = migrate(&server, "reckon", HOSTILE).await;
        let [model, events] = if done.starts_with("table") {
            [
                "reckon_model: table created",
                "reckon_events: table created",
            ]
        } else {
            ["reckon_model: table exists", "reckon_events: table exists"]
        };
        assert_eq!(
            ran.lines,
            [
                format!("select: {done}"),
                format!("{items}: {done}"),
                model.to_owned(),
                events.to_owned()
            ]
        );
    }
    let columns = index(&server, "reckon", "select", "reckon_history").await;
    assert_eq!(columns, ["from", "a.b", "größe \"x\""]);
    let columns = index(&server, "reckon", items, "reckon_successful").await;
    assert_eq!(columns, ["the user", "null", "日時", "group"]);

    server
        .execute(format!(
            "INSERT INTO reckon.`{items}` VALUES ('Ä 7 ', '2025-01-01', 'books', 1), ('ä 7 ', '2025-01-01', 'toys', 1), \
                ('Ä 7 ', '2025-01-02', 'cars', 0)"
        ))
        .await;
    let tables = mapping(HOSTILE);
    let store = MySql::new(
        &address(&server, "reckon"),
        Duration::from_secs(10),
        &tables,
    );
    let tuning = Tuning {
        tables,
        ..Tuning::default()
    };
    let service = Service::over(store, tuning);
    let answer = service.get("/recommend/%C3%84%207%20").await;
    assert_eq!(
        answer.json()["metadata"]["purchase_count"],
        1,
        "{}",
        answer.body
    );
    assert!(answer.body.contains("books"), "{}", answer.body);
}

async fn existing_tables_get_an_index_on_the_mapped_columns(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "CREATE DATABASE reckon_x; USE reckon_x; \
             CREATE TABLE orders (order_id BIGINT AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(36), placed DATETIME, \
                kind VARCHAR(50), paid BIT(1), KEY (customer, placed)); \
             CREATE TABLE clicks (kind TEXT, customer VARCHAR(36), at DATETIME)",
        )
        .await;
    let tables = |only: bool| {
        format!(
            "{{userId: Text, searches: {{table: clicks, user: customer, time: at, category: kind}}, \
             purchases: {{table: orders, user: CUSTOMER, time: placed, category: kind, success: paid, onlySuccessful: {only}}}}}"
        )
    };
    let wide = |done: &str| {
        format!(
            "clicks: index on (customer, at) {done}; the column kind is too wide for an index that covers it, so each answer \
             reads the rows themselves (VARCHAR(255) would be covered)"
        )
    };
    let ran = migrate(&server, "reckon_x", &tables(false)).await;
    let lines = [
        wide("created"),
        "orders: index created".to_owned(),
        "reckon_model: table created".to_owned(),
        "reckon_events: table created".to_owned(),
    ];
    assert_eq!(ran.lines, lines);
    // Another index beside the first.
    for done in ["created", "exists"] {
        let ran = migrate(&server, "reckon_x", &tables(true)).await;
        assert_eq!(
            ran.lines[..2],
            [wide("exists"), format!("orders: index {done}")]
        );
    }
    let columns = index(&server, "reckon_x", "orders", "reckon_history").await;
    assert_eq!(columns, ["customer", "placed", "kind"]);
    let columns = index(&server, "reckon_x", "orders", "reckon_successful").await;
    assert_eq!(columns, ["customer", "paid", "placed", "kind"]);

    let lacks = tables(true).replace("time: placed", "time: ordered");
    let ran = migrate(&server, "reckon_x", &lacks).await;
    assert!(!ran.succeeded);
    assert_eq!(
        ran.error(),
        "error: the table orders has no column ordered: Reckon reads CUSTOMER, paid, ordered, kind"
    );
}

async fn a_view_is_named_with_the_index_that_its_table_needs(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "CREATE DATABASE reckon_v; USE reckon_v; \
             CREATE TABLE orders (customer INT, placed DATETIME, kind VARCHAR(50)); \
             CREATE VIEW bought AS SELECT * FROM orders",
        )
        .await;
    let tables = "{searches: {table: ''}, purchases: {table: bought, user: customer, time: placed, category: kind}}";
    let ran = migrate(&server, "reckon_v", tables).await;
    assert!(ran.succeeded, "{:?}", ran.lines);
    assert_eq!(
        ran.lines,
        [
            "bought: is a view, which cannot have an index; create one on (customer, placed, kind) of the table that it reads",
            "reckon_model: table created",
            "reckon_events: table created"
        ]
    );
}

on_each_flavour!(
    missing_tables_are_created_whatever_their_names_are,
    existing_tables_get_an_index_on_the_mapped_columns,
    a_view_is_named_with_the_index_that_its_table_needs,
);

#[tokio::test]
async fn a_file_gets_mapped_tables_and_indexes_and_a_line_for_a_view() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("reckon.db");
    let tuning = directory.path().join("tuning.yaml");
    let run = async |tables: &str| {
        std::fs::write(&tuning, format!("tables: {tables}\n")).unwrap();
        let command = crate::harness::api_process::ApiCommand::new().args(["migrate"]);
        run(command
            .env("RECKON_DATA", &path)
            .env("RECKON_TUNING", &tuning))
        .await
    };
    let there = format!("{}: tables and indexes exist", path.display());
    for _ in 0..2 {
        let ran = run(HOSTILE).await;
        assert_eq!(ran.lines, [there.as_str()]);
    }
    let options = format!("sqlite://{}?mode=rw", path.display());
    let mut session = SqliteConnection::connect(&options).await.unwrap();
    let indexes: Vec<String> = sqlx::query_scalar(
        "SELECT group_concat(name, ',') FROM (SELECT list.name AS list, part.name FROM sqlite_schema AS it, \
         pragma_index_list(it.name) AS list, pragma_index_info(list.name) AS part \
         WHERE it.type = 'table' AND it.name <> 'reckon_events' \
         ORDER BY list.name, part.seqno) GROUP BY list ORDER BY list",
    )
    .fetch_all(&mut session)
    .await
    .unwrap();
    assert_eq!(
        indexes,
        ["the user,null,日時,group", "from,a.b,größe \"x\""]
    );
    let items = "order 'items'; DROP TABLE x";
    let rows = format!(
        "INSERT INTO `{items}` VALUES ('007', '2025-01-01', 'books', 1), ('7', '2025-01-01', 'toys', 1); \
         CREATE VIEW bought AS SELECT * FROM `{items}`"
    );
    session
        .execute(sqlx::raw_sql(AssertSqlSafe(rows)))
        .await
        .unwrap();
    let view = HOSTILE.replace(items, "bought");
    let ran = run(&view).await;
    let line = "bought: is a view, which cannot have an index; create one on (the user, null, 日時, group) of the table that it reads";
    assert_eq!(ran.lines, [line, there.as_str()]);
    let tables = mapping(&view);
    let store = Sqlite::new(&path, &tables);
    let tuning = Tuning {
        tables,
        ..Tuning::default()
    };
    let answer = Service::over(store, tuning).get("/recommend/007").await;
    assert_eq!(
        answer.json()["metadata"]["purchase_count"],
        1,
        "{}",
        answer.body
    );
    assert!(answer.body.contains("books"), "{}", answer.body);
}

#[tokio::test]
async fn demo_data_are_for_the_default_names() {
    let directory = tempfile::tempdir().unwrap();
    let (path, tuning) = (
        directory.path().join("reckon.db"),
        directory.path().join("tuning.yaml"),
    );
    std::fs::write(&tuning, "tables: {userId: Text}\n").unwrap();
    let command = crate::harness::api_process::ApiCommand::new().args(["demo"]);
    let ran = run(command
        .env("RECKON_DATA", &path)
        .env("RECKON_TUNING", &tuning))
    .await;
    assert!(!ran.succeeded);
    assert_eq!(
        ran.lines,
        [
            "error: demo data fit only the tables with the default names: remove `tables` from the tuning file, or load your own \
             data with `reckon-api import`"
        ]
    );
    assert!(!path.exists());
}
