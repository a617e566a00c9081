//! The MariaDB and MySQL servers of the tests, their general log, their sessions and the original's tables.

use std::time::{Duration, Instant};

use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Row};

use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{
    CategoryColumn, Collation, Event, History, IdColumn, OriginalTables, SuccessColumn, insert,
};
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};

const SOON: Duration = Duration::from_secs(10);

async fn connect(server: &SqlServer) -> MySqlConnection {
    let options = server.options(RECKON).database("reckon");
    MySqlConnection::connect_with(&options).await.unwrap()
}

async fn a_server_can_be_started_frozen_killed_and_restarted(flavour: Flavour) {
    let began = Instant::now();
    let mut server = flavour.reserve(&["--max-connections=20"]);
    let reserved = began.elapsed();
    MySqlConnection::connect_with(&server.options(RECKON))
        .await
        .unwrap_err();
    server.start().await;
    println!(
        "{flavour:?}: data and port after {reserved:?}, answers after {:?}",
        began.elapsed()
    );
    let port = server.port();
    assert!(
        server
            .environment("reckon")
            .contains(&("DB_PORT", port.to_string()))
    );
    let mut connection = connect(&server).await;
    let limit = sqlx::query("SELECT @@max_connections, 1 FROM DUAL")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(limit.get_unchecked::<i64, _>(0), 20);
    server.execute("CREATE TABLE reckon.t (a INT)").await;

    server.process.freeze().await;
    let ping = tokio::time::timeout(Duration::from_millis(200), connection.ping()).await;
    ping.unwrap_err();
    server.process.thaw();
    connect(&server).await.ping().await.unwrap();

    let began = Instant::now();
    server.restart().await;
    println!("{flavour:?}: killed and back after {:?}", began.elapsed());
    assert_eq!(server.port(), port);
    server.execute("INSERT INTO reckon.t VALUES (1)").await;

    let exit = server.process.stop().await;
    println!("{flavour:?}: stopped after {:?}", exit.after);
    assert!(exit.status.success(), "{exit:?}");
    server.start().await;
    let rows = sqlx::query("SELECT a FROM t")
        .fetch_all(&mut connect(&server).await)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
}

async fn statements_are_in_the_general_log(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    server.log_statements().await;
    let mut connection = connect(&server).await;
    for table in ["searches", "purchase"] {
        let sql = format!("SELECT * FROM {table} WHERE id = ?");
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(1234);
        query.fetch_all(&mut connection).await.unwrap();
    }
    server.execute("SELECT * FROM reckon.searches").await;

    let asked = server.history_statements().await;
    server.stop_logging().await;
    connection.ping().await.unwrap();
    sqlx::query("SELECT * FROM searches")
        .fetch_all(&mut connection)
        .await
        .unwrap();

    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0].text, "SELECT * FROM searches WHERE id = 1234");
    assert_eq!(asked[0].command, "Execute");
    assert_eq!(asked[0].user, RECKON.name);
    assert_eq!(asked[0].connection, asked[1].connection);
    assert_eq!(server.history_statements().await, asked);
    assert!(server.statements().await.len() > asked.len());
}

async fn the_sampler_measures_the_peak_of_concurrent_sessions_and_statements(flavour: Flavour) {
    let server = flavour.start().await;
    let sampler = server.sample_connections(RECKON.name).await;
    assert_eq!(sampler.peak().open, 0);
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(connect(&server).await);
    }
    eventually(SOON, async || sampler.peak().open == 5).await;
    let statements: Vec<_> = connections
        .into_iter()
        .take(3)
        .map(|mut connection| {
            tokio::spawn(async move {
                sqlx::query("SELECT SLEEP(0.3)")
                    .execute(&mut connection)
                    .await
                    .unwrap();
                connection.close().await.unwrap();
            })
        })
        .collect();
    eventually(SOON, async || sampler.peak().running == 3).await;
    for statement in statements {
        statement.await.unwrap();
    }
    eventually(SOON, async || server.sessions(RECKON.name).await.open == 0).await;
    println!("{flavour:?}: {:?}", sampler.peak());

    sampler.reset();
    eventually(SOON, async || sampler.peak().looks > 3).await;
    assert_eq!(sampler.peak().open, 0);
    assert_eq!(sampler.peak().running, 0);
}

async fn the_original_tables_return_the_inserted_rows(flavour: Flavour) {
    let server = flavour.start().await;
    let shapes = [
        OriginalTables::default(),
        OriginalTables {
            category: CategoryColumn::Text,
            success: SuccessColumn::TinyInt,
            collation: Collation::Utf8mb4Bin,
            id: IdColumn::Int,
            extra_columns: true,
        },
        OriginalTables {
            category: CategoryColumn::Varchar2000,
            collation: Collation::Latin1,
            ..OriginalTables::default()
        },
    ];
    let mut odd = History::newest_first(7, &[Some("books"), None, Some("")], &[Some("toys")]);
    odd.searches.push(Event::new("café", "0000-00-00 00:00:00"));
    odd.purchases.push(Event::new(None, None));
    for (n, shape) in shapes.into_iter().enumerate() {
        let database = format!("reckon_{n}");
        shape.create(&server, &database).await;
        let many = vec!["a"; 12_000];
        let many = History::newest_first(8, &many, &[]);
        let began = Instant::now();
        insert(&server, &database, &[odd.clone(), many]).await;
        println!("{flavour:?}: 12,006 rows after {:?}", began.elapsed());

        let options = server.options(RECKON).database(&database);
        let mut connection = MySqlConnection::connect_with(&options).await.unwrap();
        let rows =
            sqlx::query("SELECT category FROM searches WHERE id = 7 ORDER BY searched_at DESC")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        let categories: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(
            categories,
            [Some("books"), None, Some(""), Some("café")].map(|c| c.map(str::to_owned))
        );
        let counts =
            sqlx::query("SELECT (SELECT COUNT(*) FROM searches), (SELECT COUNT(*) FROM purchase)")
                .fetch_one(&mut connection)
                .await
                .unwrap();
        assert_eq!(
            (counts.get::<i64, _>(0), counts.get::<i64, _>(1)),
            (12_004, 2)
        );
    }
}

on_each_flavour!(
    a_server_can_be_started_frozen_killed_and_restarted,
    statements_are_in_the_general_log,
    the_sampler_measures_the_peak_of_concurrent_sessions_and_statements,
    the_original_tables_return_the_inserted_rows,
);

#[test]
fn there_are_two_flavours() {
    assert_eq!(Flavour::ALL, [Flavour::MariaDb, Flavour::MySql9]);
}
