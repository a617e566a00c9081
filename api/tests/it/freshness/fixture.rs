//! Processes that poll a database each second, with or without a shared cache.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::Client;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use crate::harness::watchdog::Scratch;
use std::env;
use std::time::Duration;

/// Maximum time until a row is in answers. This is more than the time between two polls, for a busy machine, and much
/// less than an entry's time to live.
pub const SOON: Duration = Duration::from_secs(40);
/// Connections of each process.
pub const POOL: i64 = 3;
/// The tables of the original service with a number for each row.
pub const TABLES: &str = "CREATE DATABASE IF NOT EXISTS reckon; USE reckon; \
    CREATE TABLE searches (n BIGINT AUTO_INCREMENT PRIMARY KEY, id BIGINT, search VARCHAR(50), searched_at DATETIME(6), \
        category VARCHAR(50), SUCCESS TINYINT, KEY (id, searched_at, category)); \
    CREATE TABLE purchase (n BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, id BIGINT, product_name VARCHAR(50), \
        purchased_at DATETIME, product_category VARCHAR(50), SUCCESS TINYINT, KEY (id, purchased_at, product_category))";

/// One database and its processes.
pub struct Fixture {
    pub server: SqlServer,
    pub processes: Vec<ApiProcess>,
    tuning: String,
    redis: Vec<(&'static str, String)>,
    scratch: Scratch,
}

impl Fixture {
    /// `count` processes; `tuning` is added to the settings.
    pub async fn start(
        flavour: Flavour,
        tables: &str,
        tuning: &str,
        redis: Option<&RedisServer>,
        count: usize,
    ) -> Self {
        let server = flavour.start().await;
        server.execute(tables).await;
        let redis = redis.map(RedisServer::environment).unwrap_or_default();
        Self::over(server, tuning, redis, count).await
    }

    pub async fn over(
        server: SqlServer,
        tuning: &str,
        redis: Vec<(&'static str, String)>,
        count: usize,
    ) -> Self {
        let connections = POOL * i64::try_from(count).unwrap();
        server.allow_connections(RECKON.name, connections).await;
        let mut fixture = Self {
            server,
            processes: Vec::new(),
            tuning: tuning.to_owned(),
            redis,
            scratch: Scratch::new(&env::temp_dir(), "reckon-fresh-"),
        };
        fixture.add(count).await;
        fixture
    }

    /// Starts further processes, and waits until they have polled.
    pub async fn add(&mut self, count: usize) {
        let tuning = self.scratch.path().join("tuning.yaml");
        let polls = if self.tuning.contains("freshness:") {
            ""
        } else {
            "freshness: {pollSeconds: 1}\n"
        };
        let text = format!(
            "{polls}store: {{poolSize: {POOL}}}\ncache: {{shared: {{timeoutMilliseconds: 900}}}}\n{}",
            self.tuning
        );
        std::fs::write(&tuning, text).unwrap();
        let before = self.processes.len();
        for _ in 0..count {
            let command = ApiCommand::new().envs(self.server.environment("reckon"));
            let command = command.env("RECKON_TUNING", &tuning);
            self.processes
                .push(command.envs(self.redis.clone()).spawn());
        }
        for api in &self.processes[before..] {
            api.ready().await;
            eventually(SOON, async || {
                let health = api.client().get("/health").await.json();
                let freshness = health["freshness"].as_object().cloned().unwrap_or_default();
                let known = freshness.values().all(|state| *state != "starting");
                let connected = health["redis"] != "disconnected";
                let polled = api
                    .exposition()
                    .await
                    .sum("reckon_freshness_poll_duration_seconds", None);
                let is_off = health["freshness"].is_null();
                (known && connected && (is_off || polled >= 1.0))
                    .then_some(())
                    .ok_or(health)
            })
            .await;
        }
    }

    pub fn clients(&self) -> Vec<Client> {
        self.processes.iter().map(ApiProcess::client).collect()
    }

    /// Adds a search of each user, in one statement.
    pub async fn insert(&self, users: &[i64]) {
        self.server
            .execute(format!("USE reckon; {}", search(users)))
            .await;
    }

    /// Waits until every process answers that `user` has `count` searches.
    pub async fn shows(&self, user: impl std::fmt::Display, count: u64) {
        for client in self.clients() {
            eventually(SOON, async || {
                let answer = client.get(&format!("/recommend/{user}")).await;
                let found = answer.json()["metadata"]["search_count"].as_u64();
                (found == Some(count)).then_some(()).ok_or(answer.body)
            })
            .await;
        }
    }

    /// Waits until every process has found this many searches.
    pub async fn have_found(&self, rows: u32) {
        for api in &self.processes {
            eventually(SOON, async || {
                let found = api.exposition().await;
                found.sum("reckon_freshness_rows", Some(("table", "searches"))) >= f64::from(rows)
            })
            .await;
        }
    }

    /// Stops all processes.
    pub async fn stop(&mut self) {
        for mut api in std::mem::take(&mut self.processes) {
            assert!(api.process.stop().await.status.success());
        }
    }

    /// No process was refused a connection.
    pub async fn is_within_its_connections(&self) {
        for api in &self.processes {
            let exposition = api.exposition().await;
            let refused = Some(("reason", "too many connections"));
            assert!(exposition.sum("reckon_store_errors", refused) < 1.0);
        }
    }
}

/// The statement that adds a search of each user.
pub fn search(users: &[i64]) -> String {
    let rows: Vec<String> = users
        .iter()
        .map(|user| format!("({user}, 'x', NOW(6), 'books', 1)"))
        .collect();
    format!(
        "INSERT INTO searches (id, search, searched_at, category, SUCCESS) VALUES {}",
        rows.join(", ")
    )
}
