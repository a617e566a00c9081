//! If only the database can decide whether it accepts a row, the rows of all files are written in one transaction.

use super::{PURCHASES, SEARCHES, Target, error_line, purchases, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::process::Signal;
use crate::harness::sql_server::Flavour;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// More than two chunks.
const ROWS: usize = 20_002;
/// A row like the others.
const GOOD: &str = "30000,2025-03-02 00:00:00,books,another name";

/// A constraint of a table, a last row that violates it, and the database's message.
struct Case {
    name: &'static str,
    /// What follows the columns `id`, `purchased_at`, `product_category` and `product_name`, and statements after the table.
    table: &'static str,
    last: &'static str,
    /// The expected message about the table.
    unchecked: &'static str,
    /// The expected message about the row.
    refused: &'static str,
}

const ON_SERVERS: [Case; 6] = [
    Case {
        name: "reckon_unique",
        table: ", UNIQUE KEY one (product_name))",
        last: "1,2025-03-01 00:00:00,books,name 1",
        unchecked: "only the database can evaluate the unique key one",
        refused: "Duplicate entry 'name 1'",
    },
    Case {
        name: "reckon_foreign",
        table: ", FOREIGN KEY (product_category) REFERENCES categories (name))",
        last: "1,2025-03-01 00:00:00,toys,a",
        unchecked: "only the database can evaluate the foreign key purchase_ibfk_1",
        refused: "foreign key constraint fails",
    },
    Case {
        name: "reckon_checked",
        table: ", CONSTRAINT not_toys CHECK (product_category <> 'toys'))",
        last: "1,2025-03-01 00:00:00,toys,a",
        unchecked: "only the database can evaluate the CHECK constraint not_toys",
        refused: "not_toys",
    },
    Case {
        name: "reckon_trigger",
        table: "); CREATE TRIGGER no_toys BEFORE INSERT ON purchase FOR EACH ROW \
            IF NEW.product_category = 'toys' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no toys here'; END IF",
        last: "1,2025-03-01 00:00:00,toys,a",
        unchecked: "only the database can evaluate the trigger no_toys",
        refused: "no toys here",
    },
    Case {
        name: "reckon_alphabet",
        table: "); ALTER TABLE purchase MODIFY product_name VARCHAR(60) CHARACTER SET cp1250",
        last: "1,2025-03-01 00:00:00,books,日本",
        unchecked: "only the database can evaluate the column product_name in the character set cp1250",
        // The messages of the servers have no words in common.
        refused: "error returned from database",
    },
    Case {
        name: "reckon_partitions",
        table: ") PARTITION BY RANGE (id) (PARTITION first VALUES LESS THAN (50000))",
        last: "60000,2025-03-01 00:00:00,books,a",
        unchecked: "only the database can evaluate the partitions",
        refused: "has no partition for value 60000",
    },
];

fn columns(table: &str) -> String {
    format!(
        "CREATE TABLE purchase (id BIGINT, purchased_at DATETIME, product_category VARCHAR(60), product_name VARCHAR(60){table}"
    )
}

/// A file with a wrong last row leaves no row in either table. After the correction, all rows are imported.
async fn assert_all_or_nothing(target: &Target<'_>, case: &Case) {
    let directory = scratch();
    let with_last = |last: &str| purchases(&directory, ROWS, last);
    let file = with_last(case.last);
    let arguments = ["--searches", SEARCHES, "--purchases", &file];
    let mapped = [
        "--map",
        "searches.category=kind",
        "--map",
        "searched_at=when",
    ];
    let arguments = [&arguments[..], &mapped].concat();
    let said = target.fail(&arguments).await;
    let name = case.name;
    println!("{name}: {}", error_line(&said));
    assert!(said.contains(case.unchecked), "{name}: {said}");
    assert!(said.contains(case.refused), "{name}: {said}");
    assert!(
        said.contains(
            "error: failed to write rows 20,001 to 20,002 of purchase; none of these is in: "
        ) && said.contains(
            "; searches: 0 of 12 rows are in; purchase: 0 of 20,002 rows are in; correct the cause"
        ),
        "{name}: {said}"
    );
    assert!(!said.contains("rerun"), "{name}: {said}");
    for table in ["searches", "purchase"] {
        assert_eq!(target.count(table).await, 0, "{name}: {table}");
    }
    with_last(GOOD);
    target.succeed(&arguments).await;
    assert_eq!(target.count("purchase").await, ROWS, "{name}");
    assert_eq!(target.count("searches").await, 12, "{name}");
    assert!(!target.has_note().await);
}

async fn a_row_that_violates_a_constraint_rolls_everything_back(flavour: Flavour) {
    let server = flavour.start().await;
    for case in ON_SERVERS {
        let (name, table) = (case.name, columns(case.table));
        server
            .execute(format!(
                "CREATE DATABASE {name}; USE {name}; CREATE TABLE categories (name VARCHAR(60) PRIMARY KEY); \
                 INSERT INTO categories VALUES ('books'); {table}"
            ))
            .await;
        assert_all_or_nothing(&Target::Server(&server, name), &case).await;
    }
}

async fn an_auto_increment_key_needs_no_single_transaction(flavour: Flavour) {
    let server = flavour.start().await;
    let table =
        columns(", number BIGINT AUTO_INCREMENT PRIMARY KEY, KEY (id)) CHARACTER SET utf8mb4");
    server.execute(format!("USE reckon; {table}")).await;
    let target = Target::Server(&server, "reckon");
    let said = target.succeed(&["--purchases", PURCHASES]).await;
    assert!(!said.contains("one transaction"), "{said}");
}

on_each_flavour!(
    a_row_that_violates_a_constraint_rolls_everything_back,
    an_auto_increment_key_needs_no_single_transaction,
);

#[tokio::test]
async fn a_row_that_violates_a_constraint_rolls_everything_back_in_a_file() {
    let directory = scratch();
    for case in [
        Case {
            name: "unique",
            table: ", UNIQUE (product_name))",
            last: "1,2025-03-01 00:00:00,books,name 1",
            unchecked: "only the database can evaluate the unique key sqlite_autoindex_purchase_1",
            refused: "UNIQUE constraint failed",
        },
        Case {
            name: "primary",
            table: "); DROP TABLE purchase; \
                CREATE TABLE purchase (id INTEGER PRIMARY KEY, purchased_at, product_category, product_name)",
            last: "1,2025-03-01 00:00:00,books,name 1",
            unchecked: "only the database can evaluate the primary key id",
            refused: "UNIQUE constraint failed",
        },
        Case {
            name: "foreign",
            table: ", FOREIGN KEY (product_category) REFERENCES categories (name))",
            last: "1,2025-03-01 00:00:00,toys,a",
            unchecked: "only the database can evaluate the foreign key of product_category",
            refused: "FOREIGN KEY constraint failed",
        },
        Case {
            name: "checked",
            table: ", CHECK (product_category <> 'toys'))",
            last: "1,2025-03-01 00:00:00,toys,a",
            unchecked: "only the database can evaluate the CHECK constraints",
            refused: "CHECK constraint failed",
        },
        Case {
            name: "trigger",
            table: "); CREATE TRIGGER no_toys BEFORE INSERT ON purchase WHEN NEW.product_category = 'toys' \
                BEGIN SELECT RAISE(ABORT, 'no toys here'); END",
            last: "1,2025-03-01 00:00:00,toys,a",
            unchecked: "only the database can evaluate the trigger no_toys",
            refused: "no toys here",
        },
        Case {
            name: "strict",
            table: "); DROP TABLE purchase; \
                CREATE TABLE purchase (id INTEGER, purchased_at TEXT, product_category TEXT, product_name TEXT, n INT CHECK (id < 99999)) STRICT",
            last: "100000,2025-03-01 00:00:00,toys,a",
            unchecked: "only the database can evaluate the types of a STRICT table",
            refused: "CHECK constraint failed",
        },
    ] {
        let path = directory.path().join(case.name);
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut session = SqliteConnection::connect(&url).await.unwrap();
        let create = format!(
            "CREATE TABLE categories (name TEXT PRIMARY KEY); INSERT INTO categories VALUES ('books'); {}",
            columns(case.table)
        );
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut session)
            .await
            .unwrap();
        session.close().await.unwrap();
        assert_all_or_nothing(&Target::File(path), &case).await;
    }
}

#[tokio::test]
async fn an_interrupted_import_in_one_transaction_starts_again() {
    let server = Flavour::MariaDb.start().await;
    let table = columns(", UNIQUE KEY one (product_name))");
    server.execute(format!("USE reckon; {table}")).await;
    let target = Target::Server(&server, "reckon");
    let directory = scratch();
    let file = purchases(&directory, ROWS, GOOD);
    let arguments = ["--purchases", file.as_str()];
    // The import waits for this row.
    let blocker = "INSERT INTO reckon.purchase (id, product_name) VALUES (1, 'another name')";
    let mut session = server.admin().await;
    let blocker = format!("START TRANSACTION; {blocker}");
    sqlx::raw_sql(AssertSqlSafe(blocker))
        .execute(&mut session)
        .await
        .unwrap();
    let mut import = target.import(&arguments).spawn();
    let waits = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO `purchase`%' AND time_ms > 200";
    crate::harness::eventually::eventually(super::SOON, async || {
        let waiting: i64 = sqlx::query_scalar(waits)
            .fetch_one(&mut server.admin().await)
            .await
            .unwrap();
        waiting > 0
    })
    .await;
    import.process.signal(Signal::INT);
    let exit = import.process.exit(super::SOON).await;
    let said = import.process.logs().join("\n");
    assert!(!exit.status.success(), "{said}");
    assert!(
        said.contains("error: interrupted; purchase: 0 of 20,002 rows are in; rerun the same command to resume"),
        "{said}"
    );
    session.close().await.unwrap();
    target.succeed(&arguments).await;
    assert_eq!(target.count("purchase").await, ROWS);
}
