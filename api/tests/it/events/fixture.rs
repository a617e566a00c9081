//! A database and processes that store events in it.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::{Answer, Client};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::{Flavour, SqlServer};
use crate::harness::watchdog::Scratch;
use http::Method;
use reckon_api::store::sqlite;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use std::path::PathBuf;
use std::time::Duration;

/// More time than any step here takes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_mins(1);
/// Connections of a process.
pub const POOL: i64 = 4;
pub const TUNING: &str =
    "{store: {poolSize: 4}, events: {enabled: true}, cache: {shared: {timeoutMilliseconds: 900}}}";

/// Where the rows are.
pub enum Database {
    Server(Box<SqlServer>),
    File,
}

pub struct Fixture {
    pub database: Database,
    pub directory: Scratch,
}

impl Fixture {
    /// Migrated tables on a server.
    pub async fn on(flavour: Flavour) -> Self {
        let fixture = Self::unmigrated(flavour).await;
        fixture.migrate().await;
        fixture
    }

    /// An empty database.
    pub async fn unmigrated(flavour: Flavour) -> Self {
        Self {
            database: Database::Server(flavour.start().await.into()),
            directory: Scratch::new(&std::env::temp_dir(), "reckon-events-"),
        }
    }

    pub async fn in_a_file() -> Self {
        let fixture = Self {
            database: Database::File,
            directory: Scratch::new(&std::env::temp_dir(), "reckon-events-"),
        };
        let session = sqlite::create(&fixture.file()).await.unwrap();
        session.close().await.unwrap();
        fixture
    }

    pub fn server(&self) -> &SqlServer {
        match &self.database {
            Database::Server(server) => server,
            Database::File => panic!("it is a file"),
        }
    }

    pub fn server_mut(&mut self) -> &mut SqlServer {
        match &mut self.database {
            Database::Server(server) => server,
            Database::File => panic!("it is a file"),
        }
    }

    pub fn file(&self) -> PathBuf {
        self.directory.path().join("reckon.db")
    }

    pub async fn migrate(&self) {
        let environment = self.server().environment("reckon");
        let mut migrate = ApiCommand::new()
            .envs(environment)
            .args(["migrate"])
            .spawn();
        let exit = migrate.process.exit(TIMEOUT).await;
        assert!(exit.status.success(), "{:?}", migrate.process.logs());
    }

    /// A process that stores events.
    pub fn command(&self, tuning: &str) -> ApiCommand {
        let path = self
            .directory
            .path()
            .join(format!("{}.yaml", fastrand::u64(..)));
        std::fs::write(&path, tuning).unwrap();
        let command = ApiCommand::new().env("RECKON_TUNING", path);
        match &self.database {
            Database::Server(server) => command.envs(server.environment("reckon")),
            Database::File => command.env("RECKON_DATA", self.file()),
        }
    }

    /// Starts such a process, and waits until it is ready.
    pub async fn start(&self) -> ApiProcess {
        let api = self.command(TUNING).spawn();
        is_available(&api).await;
        api
    }

    /// The same, with a shared cache.
    pub async fn start_sharing(&self, redis: &RedisServer) -> ApiProcess {
        let api = self.command(TUNING).envs(redis.environment()).spawn();
        is_available(&api).await;
        is_connected(&api).await;
        api
    }

    pub async fn execute(&self, statement: &str) {
        match &self.database {
            Database::Server(server) => server.execute(format!("USE reckon; {statement}")).await,
            Database::File => {
                let mut session = sqlite::create(&self.file()).await.unwrap();
                let statement = AssertSqlSafe(statement.to_owned());
                session.execute(sqlx::raw_sql(statement)).await.unwrap();
                session.close().await.unwrap();
            }
        }
    }

    /// The first value of the first row.
    pub async fn count(&self, select: &str) -> i64 {
        let select = AssertSqlSafe(select.to_owned());
        match &self.database {
            Database::Server(server) => {
                let mut session = server.admin().await;
                session.execute(sqlx::raw_sql("USE reckon")).await.unwrap();
                sqlx::query_scalar(select)
                    .fetch_one(&mut session)
                    .await
                    .unwrap()
            }
            Database::File => {
                let mut session = sqlite::create(&self.file()).await.unwrap();
                let count = sqlx::query_scalar(select).fetch_one(&mut session).await;
                session.close().await.unwrap();
                count.unwrap()
            }
        }
    }

    pub async fn rows(&self) -> (i64, i64) {
        (
            self.count("SELECT COUNT(*) FROM searches").await,
            self.count("SELECT COUNT(*) FROM purchase").await,
        )
    }
}

/// Waits until the process can store events, and is ready.
pub async fn is_available(api: &ApiProcess) {
    api.ready().await;
    eventually(TIMEOUT, async || {
        let health = api.client().get("/health").await.json();
        (health["events"]["available"] == true)
            .then_some(())
            .ok_or(health)
    })
    .await;
}

pub async fn is_connected(api: &ApiProcess) {
    eventually(TIMEOUT, async || {
        let health = api.client().get("/health").await.json();
        (health["redis"] == "connected").then_some(()).ok_or(health)
    })
    .await;
}

pub fn search(id: &str, user: i64) -> Value {
    json!({"id": id, "type": "search", "user_id": user, "category": "books", "text": "rust"})
}

pub fn purchase(id: &str, user: i64) -> Value {
    json!({"id": id, "type": "purchase", "user_id": user, "category": "toys", "text": "a robot"})
}

/// The event at this time.
pub fn at(mut event: Value, time: &str) -> Value {
    event["time"] = json!(time);
    event
}

pub async fn try_send(client: &Client, events: &Value) -> anyhow::Result<Answer> {
    client
        .send(Method::POST, "/events", events.to_string())
        .await
}

pub async fn send(client: &Client, events: &Value) -> Answer {
    try_send(client, events).await.unwrap()
}

/// The counts of an answer with status 200.
pub async fn counts(client: &Client, events: &Value) -> [u64; 3] {
    let answer = send(client, events).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let counts = answer.json();
    ["accepted", "duplicates", "ignored"].map(|name| counts[name].as_u64().unwrap())
}

/// Searches and purchases in a user's answer.
pub async fn answered_rows(client: &Client, user: i64) -> (u64, u64) {
    let answer = client.get(&format!("/recommend/{user}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let counts = &answer.json()["metadata"];
    (
        counts["search_count"].as_u64().unwrap(),
        counts["purchase_count"].as_u64().unwrap(),
    )
}

pub async fn erase(client: &Client, user: i64) -> anyhow::Result<Answer> {
    client
        .send(Method::DELETE, &format!("/users/{user}"), "")
        .await
}
