//! Values that a table's columns cannot hold are found before a row is written, for all types of columns.

use super::{Target, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;
use sqlx::{AssertSqlSafe, Connection, Executor, SqliteConnection};
use std::path::Path;

/// A table, its file, and the expected output.
struct Case {
    database: &'static str,
    /// The columns beside `id`.
    columns: &'static str,
    file: &'static str,
    said: &'static [&'static str],
}

const REJECTED: [Case; 9] = [
    Case {
        database: "reckon_timestamp",
        columns: "purchased_at TIMESTAMP(6) NULL, product_category VARCHAR(5)",
        file: "id,purchased_at\n1,1970-01-01 00:00:00.999999\n2,1970-01-01 00:00:01\n3,2038-01-19 03:14:08\n",
        said: &[
            "line 2, column purchased_at: \"1970-01-01 00:00:00.999999\": expected 1970-01-01 00:00:01 to 2038-01-19 03:14:07 in UTC",
            "line 4, column purchased_at: \"2038-01-19 03:14:08\"",
            "error: invalid values: 2; nothing was written",
        ],
    },
    Case {
        database: "reckon_year",
        columns: "purchased_at YEAR, product_category VARCHAR(5)",
        file: "id,purchased_at\n1,2025-01-01 00:00:00\n",
        said: &[
            "the column purchased_at cannot be written: the table's column purchased_at is of the type YEAR",
        ],
    },
    Case {
        database: "reckon_time",
        columns: "purchased_at TIME, product_category VARCHAR(5)",
        file: "id,purchased_at\n1,2025-01-01 00:00:00\n",
        said: &["is of the type TIME, which does not hold dates and times"],
    },
    Case {
        database: "reckon_enum",
        columns: "purchased_at DATETIME, product_category VARCHAR(5), SUCCESS ENUM('0', '1')",
        file: "id,purchased_at,SUCCESS\n1,2025-01-01 00:00:00,1\n",
        said: &[
            "the table's column SUCCESS is of the type ENUM, which does not hold 0 and 1 as such",
        ],
    },
    Case {
        database: "reckon_generated",
        columns: "purchased_at DATETIME, product_category VARCHAR(5) AS (CONCAT('a', id)) STORED",
        file: "id,purchased_at,product_category\n1,2025-01-01 00:00:00,a1\n",
        said: &["the table's column product_category is computed by the database"],
    },
    Case {
        database: "reckon_demanding",
        columns: "purchased_at DATETIME, product_category VARCHAR(5) NOT NULL",
        file: "id,purchased_at\n1,2025-01-01 00:00:00\n",
        said: &[
            "no column product_category, and the table's column takes no NULL and has no default",
        ],
    },
    Case {
        database: "reckon_binary",
        columns: "purchased_at DATETIME, product_category VARBINARY(5)",
        file: "id,purchased_at,product_category\n1,2025-01-01 00:00:00,äöü\n",
        said: &["expected at most 5 bytes (the length of the table's column), got 6"],
    },
    Case {
        database: "reckon_utf32",
        columns: "purchased_at DATETIME, product_category TINYTEXT CHARACTER SET utf32",
        file: "id,purchased_at,product_category\n1,2025-01-01 00:00:00,0123456789012345678901234567890123456789012345678901234567890123\n",
        said: &["expected at most 63 characters (the length of the table's column), got 64"],
    },
    Case {
        database: "reckon_unsigned",
        columns: "purchased_at VARCHAR(10), product_category VARCHAR(5)",
        file: "id,purchased_at\n1,2025-01-01 00:00:00\n",
        said: &["is of the type VARCHAR, which does not hold dates and times"],
    },
];

fn written(directory: &Path, text: &str) -> String {
    let path = directory.join("purchases.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

async fn values_outside_the_columns_type_are_rejected(flavour: Flavour) {
    let server = flavour.start().await;
    let directory = scratch();
    for case in REJECTED {
        let Case {
            database, columns, ..
        } = case;
        server
            .execute(format!(
                "CREATE DATABASE {database}; USE {database}; CREATE TABLE purchase (id BIGINT, {columns})"
            ))
            .await;
        let target = Target::Server(&server, database);
        let file = written(directory.path(), case.file);
        let said = target.fail(&["--purchases", &file]).await;
        for words in case.said {
            assert!(said.contains(words), "{database}: no {words:?}: {said}");
        }
        assert_eq!(target.count("purchase").await, 0, "{database}");
    }
}

/// A zone whose clocks go from 02:00 to 03:00 on 30 March 2025.
const SUMMER_TIME: &str = "USE mysql; INSERT INTO time_zone (Time_zone_id) VALUES (1); \
    INSERT INTO time_zone_name VALUES ('summer', 1); \
    INSERT INTO time_zone_transition_type VALUES (1, 0, 3600, 0, 'CET'), (1, 1, 7200, 1, 'CEST'); \
    INSERT INTO time_zone_transition VALUES (1, 1700000000, 0), (1, 1743296400, 1), (1, 1761440400, 0); \
    SET GLOBAL time_zone = 'summer'";

async fn timestamps_are_utc_whatever_the_servers_zone(flavour: Flavour) {
    let server = flavour.start().await;
    server.execute(SUMMER_TIME).await;
    server
        .execute("USE reckon; CREATE TABLE purchase (id BIGINT, purchased_at TIMESTAMP(6) NULL, product_category TEXT)")
        .await;
    let directory = scratch();
    let file = written(
        directory.path(),
        "id,purchased_at\n1,2025-03-30 02:30:00\n2,1970-01-01 00:00:01\n3,2038-01-19 03:14:07.999999\n",
    );
    let target = Target::Server(&server, "reckon");
    let said = target.succeed(&["--purchases", &file]).await;
    assert!(
        said.contains(
            "its times say no zone and are taken as UTC, since the table's column is a TIMESTAMP"
        ),
        "{said}"
    );
    let mut session = server.admin().await;
    session.execute("SET time_zone = '+00:00'").await.unwrap();
    let select = "SELECT CAST(purchased_at AS CHAR) FROM reckon.purchase ORDER BY id";
    let times: Vec<String> = sqlx::query_scalar(select)
        .fetch_all(&mut session)
        .await
        .unwrap();
    assert_eq!(
        times,
        [
            "2025-03-30 02:30:00.000000",
            "1970-01-01 00:00:01.000000",
            "2038-01-19 03:14:07.999999"
        ]
    );
}

async fn a_date_column_stores_the_day_and_the_loss_is_reported(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute("USE reckon; CREATE TABLE purchase (id BIGINT, purchased_at DATE, product_category TEXT)")
        .await;
    let directory = scratch();
    let file = written(
        directory.path(),
        "id,purchased_at\n1,2025-03-30 02:30:00\n2,2025-03-31 00:00:00\n",
    );
    let target = Target::Server(&server, "reckon");
    let said = target.succeed(&["--purchases", &file]).await;
    assert!(
        said.contains("1 times lose their time of day, which the table's column does not hold"),
        "{said}"
    );
    let times: Vec<String> = target
        .rows_of("SELECT CAST(purchased_at AS CHAR) FROM purchase")
        .await;
    assert_eq!(times, ["2025-03-30", "2025-03-31"]);
}

async fn a_user_with_id_zero_keeps_it(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "USE reckon; CREATE TABLE purchase (id INT AUTO_INCREMENT, purchased_at DATETIME, product_category VARCHAR(9), KEY (id))",
        )
        .await;
    let directory = scratch();
    let file = written(directory.path(), "id,purchased_at\n0,2025-03-30 02:30:00\n");
    let target = Target::Server(&server, "reckon");
    target.succeed(&["--purchases", &file]).await;
    let ids: Vec<String> = target
        .rows_of("SELECT CAST(id AS CHAR) FROM purchase")
        .await;
    assert_eq!(ids, ["0"]);
}

async fn a_view_is_rejected(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "USE reckon; CREATE TABLE bought (id INT, purchased_at DATETIME, product_category VARCHAR(9)); \
             CREATE VIEW purchase AS SELECT * FROM bought",
        )
        .await;
    let directory = scratch();
    let file = written(directory.path(), "id,purchased_at\n0,2025-03-30 02:30:00\n");
    let target = Target::Server(&server, "reckon");
    let said = target.fail(&["--purchases", &file]).await;
    assert!(said.contains("error: purchase is a view"), "{said}");
}

on_each_flavour!(
    values_outside_the_columns_type_are_rejected,
    timestamps_are_utc_whatever_the_servers_zone,
    a_date_column_stores_the_day_and_the_loss_is_reported,
    a_user_with_id_zero_keeps_it,
    a_view_is_rejected,
);

#[tokio::test]
async fn values_that_a_sqlite_table_cannot_hold_are_rejected() {
    let directory = scratch();
    for (name, table, words) in [
        (
            "generated",
            "TABLE purchase (id INTEGER, purchased_at TEXT, product_category TEXT AS ('a'))",
            "the table's column product_category is computed by the database",
        ),
        (
            "demanding",
            "TABLE purchase (id INTEGER, purchased_at TEXT, product_category TEXT, product_name TEXT NOT NULL)",
            "no column product_name, and the table's column takes no NULL and has no default",
        ),
        (
            "view",
            "VIEW purchase AS SELECT 1 AS id, '2025' AS purchased_at, 'a' AS product_category",
            "purchase is a view",
        ),
    ] {
        let path = directory.path().join(name);
        let url = format!("sqlite://{}?mode=rwc", path.display());
        let mut session = SqliteConnection::connect(&url).await.unwrap();
        let create = format!("CREATE {table}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut session)
            .await
            .unwrap();
        session.close().await.unwrap();
        let file = written(
            directory.path(),
            "id,purchased_at,product_category\n1,2025-01-01 00:00:00,a\n",
        );
        let said = Target::File(path).fail(&["--purchases", &file]).await;
        assert!(said.contains(words), "{name}: {said}");
    }
}
