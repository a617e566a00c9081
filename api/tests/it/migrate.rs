//! `reckon-api migrate` and `reckon-api demo`: the objects that they create, what they reject, and which sessions wait.

mod created;
mod demo;
mod locked;
mod mapped;
mod online;
mod rejected;

use crate::harness::api_process::ApiCommand;
use crate::harness::sql_server::SqlServer;
use crate::tables::address;
use reckon_api::model::UserId;
use reckon_api::store::mysql::MySql;
use reckon_api::store::{Connection as _, Store as _};
use reckon_contract::tables::Tables;
use sqlx::{AssertSqlSafe, Executor, Row};
use std::time::{Duration, Instant};

/// More time than any of these commands takes on a busy machine.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A command that has ended.
struct Ran {
    succeeded: bool,
    /// Its output. The order of lines of different streams is arbitrary.
    lines: Vec<String>,
    took: Duration,
}

impl Ran {
    /// The line with the error.
    fn error(&self) -> &str {
        let error = self.lines.iter().find(|line| line.starts_with("error: "));
        error.unwrap_or_else(|| panic!("no error: {:?}", self.lines))
    }
}

/// Runs the program to its end.
async fn run(command: ApiCommand) -> Ran {
    let began = Instant::now();
    let mut api = command.spawn();
    let process = &mut api.process;
    let exit = process.exit(TIMEOUT).await;
    Ran {
        succeeded: exit.status.success(),
        lines: process.logs(),
        took: began.elapsed(),
    }
}

fn command(server: &SqlServer, database: &str, name: &str) -> ApiCommand {
    ApiCommand::new()
        .envs(server.environment(database))
        .args([name])
}

async fn migrate(server: &SqlServer, database: &str) -> Ran {
    run(command(server, database, "migrate")).await
}

/// Queries how the server would execute the product's own statement. Panics unless both branches read only the index.
async fn assert_covered(server: &SqlServer, database: &str) {
    let store = MySql::new(
        &address(server, database),
        Duration::from_secs(10),
        &Tables::default(),
    );
    server.log_statements().await;
    let mut connection = store.connect().await.unwrap();
    connection
        .histories(&[UserId::Integer(7), UserId::Integer(8)], 100)
        .await
        .unwrap();
    server.stop_logging().await;
    let asked = server.history_statements().await;
    let statement = &asked.last().unwrap().text;

    let mut admin = server.admin().await;
    let used = format!("USE {database}");
    admin
        .execute(sqlx::raw_sql(AssertSqlSafe(used)))
        .await
        .unwrap();
    let explain = format!("EXPLAIN FORMAT=TRADITIONAL {statement}");
    let plan = admin
        .fetch_all(sqlx::raw_sql(AssertSqlSafe(explain)))
        .await
        .unwrap();
    let mut branches = 0;
    for row in plan {
        let column = |name| row.get::<Option<String>, _>(name).unwrap_or_default();
        let (table, key, extra) = (column("table"), column("key"), column("Extra"));
        if table.starts_with('<') {
            continue;
        }
        println!("{table}: key {key}, {extra}");
        assert_eq!(key, "reckon_history", "{table}");
        assert!(extra.contains("Using index"), "{table}: {extra}");
        assert!(!extra.contains("filesort"), "{table}: {extra}");
        assert!(!extra.contains("Using index condition"), "{table}: {extra}");
        branches += 1;
    }
    assert_eq!(branches, 4);
}

/// The statement that would create the present table.
async fn definition(server: &SqlServer, database: &str, table: &str) -> String {
    let show = format!("SHOW CREATE TABLE {database}.{table}");
    let row = server
        .admin()
        .await
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(show)))
        .await
        .unwrap();
    row.get(1)
}

/// Rows of a table.
async fn count(server: &SqlServer, database: &str, table: &str) -> i64 {
    let statement = format!("SELECT COUNT(*) FROM {database}.{table}");
    sqlx::query_scalar(AssertSqlSafe(statement))
        .fetch_one(&mut server.admin().await)
        .await
        .unwrap()
}

/// Fills both tables to about `rows` rows each, of 1,000 users.
async fn fill(server: &SqlServer, database: &str, rows: u32) {
    let user = "1 + SEQ MOD 1000, 'q', '2025-01-01' + INTERVAL SEQ MINUTE";
    let category = "CONCAT('category ', SEQ MOD 17), 1";
    let numbers = format!(
        "WITH RECURSIVE numbers AS (SELECT 0 AS SEQ UNION ALL SELECT SEQ + 1 FROM numbers WHERE SEQ < {rows}) \
         SELECT {user}, {category} FROM numbers"
    );
    // Each server executes only its own name of the limit.
    let limit = "/*M! max_recursive_iterations */ /*!80000 cte_max_recursion_depth */ = 10000000";
    server
        .execute(format!(
            "SET SESSION {limit}; USE {database}; \
             INSERT INTO searches (id, search, searched_at, category, SUCCESS) {numbers}; \
             INSERT INTO purchase (id, product_name, purchased_at, product_category, SUCCESS) {numbers}"
        ))
        .await;
}
