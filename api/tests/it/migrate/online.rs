//! An index is created while the service answers and other programs write.

use super::{assert_covered, count, fill, migrate};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::{Answer, Load};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::OriginalTables;
use crate::harness::sql_server::{Flavour, SqlServer};
use sqlx::{Executor, MySqlConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Another program, which inserts rows into both tables, one after the other, with the server's default timeouts.
struct Writer {
    stopped: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: JoinHandle<Duration>,
}

impl Writer {
    async fn start(server: &SqlServer, database: &str) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let written = Arc::new(AtomicU64::new(0));
        let mut connection = server.admin().await;
        let used = format!("USE {database}");
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(used)))
            .await
            .unwrap();
        let task = tokio::spawn(write(connection, stopped.clone(), written.clone()));
        Self {
            stopped,
            written,
            task,
        }
    }

    /// Pairs of rows written, and the longest that one statement took.
    async fn stop(self) -> (u64, Duration) {
        self.stopped.store(true, SeqCst);
        let longest = self.task.await.unwrap();
        (self.written.load(SeqCst), longest)
    }
}

async fn write(
    mut connection: MySqlConnection,
    stopped: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
) -> Duration {
    let mut longest = Duration::ZERO;
    while !stopped.load(SeqCst) {
        for insert in [
            "INSERT INTO searches (id, searched_at, category) VALUES (-1, NOW(), 'new')",
            "INSERT INTO purchase (id, purchased_at, product_category) VALUES (-1, NOW(), 'new')",
        ] {
            let began = Instant::now();
            connection.execute(sqlx::raw_sql(insert)).await.unwrap();
            longest = longest.max(began.elapsed());
        }
        written.fetch_add(1, SeqCst);
    }
    longest
}

/// The service and its users, and somebody who writes, from before a migration until after it.
pub struct ConcurrentClients {
    _api: ApiProcess,
    load: Load,
    writer: Writer,
}

/// The results of service and writer.
#[derive(Debug)]
pub struct Observed {
    pub answers: usize,
    pub longest_answer: Duration,
    pub written: u64,
    pub longest_write: Duration,
}

impl ConcurrentClients {
    pub async fn start(server: &SqlServer, database: &str, clients: usize) -> Self {
        let api = ApiCommand::new()
            .envs(server.environment(database))
            .env("RUST_LOG", "debug")
            .spawn();
        api.ready().await;
        // Users that were never asked for: each answer comes from the tables.
        let load = api.client().send_load(clients, |worker, n| {
            format!("/recommend/{}", 1_000_000 * worker + n)
        });
        let writer = Writer::start(server, database).await;
        Self {
            _api: api,
            load,
            writer,
        }
    }

    /// Panics if one of them was refused anything.
    pub async fn stop(self) -> Observed {
        let (written, longest_write) = self.writer.stop().await;
        let answers: Vec<Answer> = self
            .load
            .stop()
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let refused: Vec<_> = answers
            .iter()
            .filter(|answer| answer.status != 200)
            .collect();
        assert!(
            refused.is_empty(),
            "{} of {}: {:?}",
            refused.len(),
            answers.len(),
            refused[0]
        );
        Observed {
            answers: answers.len(),
            longest_answer: answers.iter().map(|answer| answer.elapsed).max().unwrap(),
            written,
            longest_write,
        }
    }
}

async fn other_clients_do_not_wait_for_the_index_and_no_row_is_lost(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    fill(&server, "reckon", 30_000).await;
    let before = count(&server, "reckon", "searches").await;
    let others = ConcurrentClients::start(&server, "reckon", 2).await;
    let ran = migrate(&server, "reckon").await;
    let seen = others.stop().await;
    println!("{flavour:?}: {:?} in {:?}; {seen:?}", ran.lines, ran.took);
    assert_eq!(
        ran.lines,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    assert!(seen.answers > 2 && seen.written > 2, "{seen:?}");
    assert!(seen.longest_answer < Duration::from_secs(3), "{seen:?}");
    assert!(seen.longest_write < Duration::from_secs(3), "{seen:?}");
    for table in ["searches", "purchase"] {
        let after = count(&server, "reckon", table).await;
        assert_eq!(after - before, i64::try_from(seen.written).unwrap());
    }
    assert_covered(&server, "reckon").await;
}

on_each_flavour!(other_clients_do_not_wait_for_the_index_and_no_row_is_lost);
