//! Tables with other names and text as user ids: every byte of an id counts.

use super::{Target, error_line, scratch};
use crate::golden::{Vector, compare_for, mapping, text_ids, times, vectors};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;
use crate::harness::watchdog::Scratch;
use crate::tables::address;
use reckon_api::store::mysql::MySql;
use reckon_api::store::sqlite::Sqlite;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, SqliteConnection};
use std::time::Duration;

const MAPPING: &str = "{userId: Text, \
    searches: {table: shop searches, user: who, time: when, category: group}, \
    purchases: {table: orders, user: customer, time: paid at, category: kind, text: it's, success: ok?}}";

/// The path of a tuning file with this mapping.
fn tuning(directory: &Scratch, tables: &str) -> String {
    let path = directory.path().join("tuning.yaml");
    std::fs::write(&path, format!("tables: {tables}\n")).unwrap();
    path.display().to_string()
}

fn written(directory: &Scratch, name: &str, text: &str) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The vectors' rows as files. The headers are the names of [`MAPPING`], except one header, which `--map` names.
fn files(directory: &Scratch) -> [String; 2] {
    let (vectors, ids) = (vectors(), text_ids());
    let file = |name: &str, header: [&str; 3], rows: fn(&Vector) -> &Vec<Option<String>>| {
        let path = directory.path().join(name);
        let mut file = csv::Writer::from_path(&path).unwrap();
        file.write_record(header).unwrap();
        for (id, vector) in ids.iter().zip(&vectors) {
            let rows = rows(vector);
            for (time, category) in times(rows.len()).zip(rows) {
                let category = category.as_deref().unwrap_or_default();
                file.write_record([category, &time, id]).unwrap();
            }
        }
        file.flush().unwrap();
        path.display().to_string()
    };
    [
        file("searches.csv", ["group", "when", "who"], |it| &it.searches),
        file("purchases.csv", ["art", "paid at", "customer"], |it| {
            &it.purchases
        }),
    ]
}

/// Imports the vectors.
async fn fill(target: &Target<'_>, directory: &Scratch) -> String {
    let [searches, purchases] = files(directory);
    let tuning = tuning(directory, MAPPING);
    let arguments = [
        ["--tuning", tuning.as_str()],
        ["--searches", &searches],
        ["--purchases", &purchases],
        ["--map", "orders.kind=art"],
    ];
    target.succeed(arguments.as_flattened()).await
}

fn ids() -> Vec<Value> {
    text_ids().into_iter().map(Value::from).collect()
}

async fn imported_users_with_text_ids_get_the_golden_answers(flavour: Flavour) {
    let server = flavour.start().await;
    let directory = scratch();
    let tables = mapping(MAPPING);
    for (n, kind) in [
        None,
        Some("VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
        Some("VARCHAR(64) CHARACTER SET latin1 COLLATE latin1_swedish_ci"),
        Some("VARCHAR(64) CHARACTER SET utf16"),
        Some("VARBINARY(64)"),
    ]
    .into_iter()
    .enumerate()
    {
        let database = ["reckon", "reckon_1", "reckon_2", "reckon_3", "reckon_4"][n];
        if let Some(kind) = kind {
            server
                .execute(format!(
                    "CREATE DATABASE `{database}`; USE `{database}`; \
                     CREATE TABLE `shop searches` (`group` VARCHAR(255) CHARACTER SET utf8mb4, who {kind}, `when` DATETIME(6)); \
                     CREATE TABLE orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer {kind} NOT NULL, `paid at` DATETIME, \
                        kind VARCHAR(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin)"
                ))
                .await;
        }
        let target = Target::Server(&server, database);
        let said = fill(&target, &directory).await;
        let made = if kind.is_some() {
            "index created"
        } else {
            // The import creates the table, without an index.
            "orders: index created"
        };
        assert!(said.contains(made), "{said}");
        let store = MySql::new(
            &address(&server, database),
            Duration::from_secs(10),
            &tables,
        );
        compare_for(store, tables.clone(), &vectors(), &ids()).await;
        println!("{flavour:?} {kind:?}: 100 of 100");
    }
}

#[tokio::test]
async fn imported_users_with_text_ids_get_the_golden_answers_over_sqlite() {
    let tables = mapping(MAPPING);
    for kind in ["", "TEXT", "VARCHAR(5) COLLATE NOCASE", "BLOB"] {
        let directory = scratch();
        let path = directory.path().join("reckon.db");
        if !kind.is_empty() {
            let url = format!("sqlite://{}?mode=rwc", path.display());
            let mut session = SqliteConnection::connect(&url).await.unwrap();
            let create = format!(
                "CREATE TABLE `shop searches` (who {kind}, `when` TEXT, `group` TEXT); \
                 CREATE TABLE orders (customer {kind}, `paid at` TEXT, kind TEXT)"
            );
            let created = session.execute(sqlx::raw_sql(AssertSqlSafe(create)));
            created.await.unwrap();
        }
        let said = fill(&Target::File(path.clone()), &directory).await;
        assert!(said.contains("indexes created"), "{said}");
        let store = Sqlite::new(&path, &tables);
        compare_for(store, tables.clone(), &vectors(), &ids()).await;
    }
}

/// Columns of a table, a file, and what is said of them.
const REJECTED: [(&str, &str, &str); 9] = [
    (
        "customer CHAR(36)",
        "\"a \"",
        "line 2, column customer: \"a \": expected no blank at the end (the table's column is a CHAR, which drops it)",
    ),
    (
        "customer VARCHAR(3)",
        "abcd",
        "line 2, column customer: \"abcd\": expected at most 3 characters (the length of the table's column), got 4",
    ),
    (
        "customer VARCHAR(64) CHARACTER SET latin1",
        "日本",
        "line 2, column customer: \"日本\": expected characters of latin1 (the character set of the table's column), got '日'",
    ),
    (
        "customer VARBINARY(3)",
        "äö",
        "line 2, column customer: \"äö\": expected at most 3 bytes (the length of the table's column), got 4",
    ),
    (
        "customer VARCHAR(100)",
        "ääääääääääääääääääääääääääääääääx",
        "column customer: \"ääääääääääääääääääääääääääääääääx\": expected 1 to 64 bytes of UTF-8 without control characters",
    ),
    (
        "customer VARCHAR(100)",
        "\"\"",
        "line 2, column customer: \"\": expected 1 to 64 bytes of UTF-8 without control characters",
    ),
    (
        "customer BINARY(36)",
        "a",
        "the table's column customer is of the type BINARY, which does not hold text ids as such",
    ),
    (
        "customer BIGINT",
        "7",
        "the table's column customer is of the type BIGINT, which does not hold text ids as such",
    ),
    (
        "customer VARCHAR(64), shop INT NOT NULL",
        "a",
        "error: the table orders has a column shop that takes no NULL and has no default",
    ),
];

async fn ids_that_a_column_cannot_hold_are_rejected_before_anything_is_written(flavour: Flavour) {
    let server = flavour.start().await;
    let directory = scratch();
    let tuning = tuning(&directory, MAPPING);
    server.execute("CREATE DATABASE reckon_x").await;
    for (columns, id, words) in REJECTED {
        server
            .execute(format!(
                "USE reckon_x; DROP TABLE IF EXISTS orders; CREATE TABLE orders ({columns}, `paid at` DATETIME, kind VARCHAR(9))"
            ))
            .await;
        let file = written(
            &directory,
            "orders.csv",
            &format!("customer,paid at\n{id},2025-01-01 00:00:00\n"),
        );
        let target = Target::Server(&server, "reckon_x");
        let said = target
            .fail(&["--tuning", &tuning, "--purchases", &file])
            .await;
        assert!(said.contains(words), "no {words:?}: {said}");
        assert_eq!(target.count("orders").await, 0, "{columns}");
    }
    server
        .execute(
            "USE reckon_x; RENAME TABLE orders TO base; CREATE VIEW orders AS SELECT * FROM base",
        )
        .await;
    let file = written(
        &directory,
        "orders.csv",
        "customer,paid at\n7,2025-01-01 00:00:00\n",
    );
    let said = Target::Server(&server, "reckon_x")
        .fail(&["--tuning", &tuning, "--purchases", &file])
        .await;
    assert!(
        error_line(&said).contains("orders is a view: an import needs the table itself"),
        "{said}"
    );
    // A view for which there is no file does not matter.
    server
        .execute(
            "USE reckon_x; DROP VIEW orders; RENAME TABLE base TO orders; ALTER TABLE orders DROP shop; \
             CREATE VIEW `shop searches` AS SELECT customer AS who, `paid at` AS `when`, kind AS `group` FROM orders",
        )
        .await;
    let target = Target::Server(&server, "reckon_x");
    let said = target
        .succeed(&["--tuning", &tuning, "--purchases", &file])
        .await;
    let view = "shop searches: is a view, which cannot have an index; create one on (who, when, group) of the table that it reads";
    assert!(said.contains(view), "{said}");
    assert_eq!(target.count("orders").await, 1);
}

async fn the_greatest_unsigned_integer_is_an_id(flavour: Flavour) {
    let server = flavour.start().await;
    let directory = scratch();
    server
        .execute(
            "CREATE DATABASE reckon_x; USE reckon_x; \
             CREATE TABLE purchase (id BIGINT UNSIGNED, purchased_at DATETIME, product_category VARCHAR(9))",
        )
        .await;
    let row = "2025-01-01 00:00:00";
    let file = |ids: [&str; 2]| {
        let rows: String = ids.map(|id| format!("{id},{row}\n")).concat();
        written(
            &directory,
            "purchases.csv",
            &format!("id,purchased_at\n{rows}"),
        )
    };
    let target = Target::Server(&server, "reckon_x");
    let said = target
        .fail(&["--purchases", &file(["-1", "18446744073709551616"])])
        .await;
    for words in [
        "line 2, column id: \"-1\": expected 0 to 18446744073709551615 (the range of the table's column)",
        "line 3, column id: \"18446744073709551616\": expected a 64-bit integer",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let both = file(["18446744073709551615", "0"]);
    target.succeed(&["--purchases", &both]).await;
    let ids = target
        .rows_of("SELECT CAST(id AS CHAR) FROM purchase ORDER BY id DESC")
        .await;
    assert_eq!(ids, ["18446744073709551615", "0"]);
}

on_each_flavour!(
    imported_users_with_text_ids_get_the_golden_answers,
    ids_that_a_column_cannot_hold_are_rejected_before_anything_is_written,
    the_greatest_unsigned_integer_is_an_id,
);

#[tokio::test]
async fn text_ids_for_a_numeric_column_in_a_file_are_rejected() {
    let directory = scratch();
    let path = directory.path().join("reckon.db");
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let mut session = SqliteConnection::connect(&url).await.unwrap();
    let create = "CREATE TABLE orders (customer BIGINT, `paid at` TEXT, kind TEXT)";
    session.execute(create).await.unwrap();
    session.close().await.unwrap();
    let text = "customer,paid at\n007,2025-01-01 00:00:00\n";
    let file = written(&directory, "orders.csv", text);
    let tuning = tuning(&directory, MAPPING);
    let target = Target::File(path);
    let said = target
        .fail(&["--tuning", &tuning, "--purchases", &file])
        .await;
    let words =
        "the table's column customer is of the type BIGINT, which does not hold text ids as such";
    assert!(said.contains(words), "{said}");
    assert_eq!(target.count("orders").await, 0);
}

#[tokio::test]
async fn a_file_or_a_mapping_for_a_missing_table_is_rejected() {
    let directory = scratch();
    let path = directory.path().join("reckon.db");
    let file = written(&directory, "any.csv", "who,at\n");
    let target = Target::File(path.clone());
    let only_purchases = tuning(
        &directory,
        "{searches: {table: ''}, purchases: {table: orders, user: who, time: at, category: kind}}",
    );
    for (arguments, words) in [
        (
            ["--searches", &file, "--append"].as_slice(),
            "error: --searches: there is no such table, because tables.searches.table is empty in the tuning file",
        ),
        (
            &["--purchases", &file, "--map", "purchase.id=x"],
            "error: invalid --map purchase.id=x: there is no table purchase: expected orders",
        ),
        (
            &["--purchases", &file, "--map", "id=x"],
            "error: invalid --map id=x: there is no column id: expected one of who, at, kind",
        ),
    ] {
        let all = [&["--tuning", &only_purchases], arguments].concat();
        let said = target.fail(&all).await;
        assert_eq!(error_line(&said), words);
    }
    let both = tuning(
        &directory,
        "{searches: {table: events}, purchases: {table: events}}",
    );
    let said = target
        .fail(&["--tuning", &both, "--searches", &file, "--purchases", &file])
        .await;
    assert_eq!(
        error_line(&said),
        "error: --searches and --purchases: both are for the table events; import one file after the other, with --append"
    );
    assert!(!path.exists());
}
