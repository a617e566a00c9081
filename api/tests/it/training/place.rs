//! The three places that data can be in, with users whose purchases follow from their ids.

use crate::harness::sql_server::{Flavour, SqlServer};
use crate::service::Service;
use crate::tables::address;
use jiff::{Timestamp, ToSpan as _};
use reckon_api::store::mysql::MySql;
use reckon_api::store::sqlite::{self, Sqlite};
use reckon_api::trained::TrainedModel;
use reckon_contract::Tuning;
use reckon_contract::tables::Tables;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

/// The database on a server.
pub const DATABASE: &str = "reckon";
/// Users 1 to this number have purchases.
pub const USERS: i64 = 80;

/// Where the data is.
pub enum Place {
    Server(Box<SqlServer>),
    File(TempDir),
}

impl Place {
    pub async fn mariadb() -> Self {
        Self::on(Flavour::MariaDb).await
    }

    pub async fn mysql9() -> Self {
        Self::on(Flavour::MySql9).await
    }

    pub async fn on(flavour: Flavour) -> Self {
        Self::Server(flavour.start().await.into())
    }

    pub async fn sqlite() -> Self {
        let place = Self::File(tempfile::tempdir().unwrap());
        sqlite::create(&place.path())
            .await
            .unwrap()
            .close()
            .await
            .unwrap();
        place
    }

    /// The variables of a process that uses it.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Server(server) => server.environment(DATABASE),
            Self::File(_) => vec![("RECKON_DATA", self.path().display().to_string())],
        }
    }

    /// A service in this process that looks for a new model at each probe.
    pub fn service(&self, tuning: Tuning) -> Service {
        let period = Duration::ZERO;
        match self {
            Self::Server(server) => {
                let store = MySql::new(
                    &address(server, DATABASE),
                    Duration::from_secs(10),
                    &Tables::default(),
                );
                Service::following(store, tuning, period)
            }
            Self::File(_) => Service::following(
                Sqlite::new(&self.path(), &Tables::default()),
                tuning,
                period,
            ),
        }
    }

    /// Tables with the rows of [`USERS`] users: one shopping day every three days up to yesterday.
    pub async fn fill(&self) {
        self.make_tables().await;
        let mut rows = Vec::new();
        for user in 1..=USERS {
            for ago in (1..100).step_by(3) {
                rows.push((user, ago, "milk".to_owned()));
                rows.push((user, ago, format!("habit {}", user % 4)));
            }
        }
        self.insert("purchase", &rows).await;
        self.insert("searches", &[(1, 2, "books".to_owned())]).await;
    }

    /// The tables as `migrate` makes them, without rows.
    pub async fn make_tables(&self) {
        if let Self::Server(server) = self {
            server
                .execute(format!("CREATE DATABASE IF NOT EXISTS {DATABASE}"))
                .await;
            let (address, tables) = (address(server, DATABASE), Tables::default());
            let made = reckon_api::store::mysql::migrate::migrate(&address, &tables, |_| ());
            made.await.unwrap();
        }
    }

    /// Adds rows: user, days ago, category.
    pub async fn insert(&self, table: &str, rows: &[(i64, i32, String)]) {
        let columns = match table {
            "purchase" => "id, product_name, purchased_at, product_category, SUCCESS",
            _ => "id, search, searched_at, category, SUCCESS",
        };
        for rows in rows.chunks(1000) {
            let mut statement = format!("INSERT INTO {table} ({columns}) VALUES ");
            for (number, (user, ago, category)) in rows.iter().enumerate() {
                let comma = if number == 0 { "" } else { ", " };
                let at = ago_text(*ago);
                write!(
                    statement,
                    "{comma}({user}, 'thing', '{at}', '{category}', 1)"
                )
                .unwrap();
            }
            self.execute(&statement).await;
        }
    }

    pub async fn execute(&self, statement: &str) {
        match self {
            Self::Server(server) => server.execute(format!("USE {DATABASE}; {statement}")).await,
            Self::File(_) => {
                let mut session = self.session().await;
                session
                    .execute(sqlx::raw_sql(AssertSqlSafe(statement)))
                    .await
                    .unwrap();
                session.close().await.unwrap();
            }
        }
    }

    /// Publishes bytes by hand, under a digest.
    pub async fn publish(&self, digest: &str, document: &[u8]) {
        match self {
            Self::Server(server) => {
                let insert =
                    sqlx::query("INSERT INTO reckon.reckon_model (digest, document) VALUES (?, ?)");
                let insert = insert.bind(digest).bind(document);
                insert.execute(&mut server.admin().await).await.unwrap();
            }
            Self::File(_) => {
                let insert =
                    sqlx::query("INSERT INTO reckon_model (digest, document) VALUES (?, ?)");
                let insert = insert.bind(digest).bind(document);
                insert.execute(&mut self.session().await).await.unwrap();
            }
        }
    }

    /// The published documents, oldest first.
    pub async fn published(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Server(server) => {
                let select = sqlx::query("SELECT document FROM reckon.reckon_model ORDER BY id");
                let rows = select.fetch_all(&mut server.admin().await).await.unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
            Self::File(_) => {
                let rows = sqlx::query("SELECT document FROM reckon_model ORDER BY id")
                    .fetch_all(&mut self.session().await)
                    .await
                    .unwrap();
                rows.iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// The versions of the published models, oldest first.
    pub async fn versions(&self) -> Vec<String> {
        let documents = self.published().await;
        let models = documents
            .iter()
            .map(|document| TrainedModel::parse(document).unwrap());
        models.map(|model| model.version().to_owned()).collect()
    }

    /// The server.
    pub fn server(&self) -> &SqlServer {
        match self {
            Self::Server(server) => server,
            Self::File(_) => unreachable!("a file has no server"),
        }
    }

    /// The file of SQLite.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Server(_) => unreachable!("a server has no file"),
            Self::File(directory) => directory.path().join("reckon.db"),
        }
    }

    /// A session of the file.
    pub async fn session(&self) -> sqlx::SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        options.connect().await.unwrap()
    }
}

/// Noon, so many days ago.
pub fn ago_text(days: i32) -> String {
    let then = Timestamp::now() - (24 * i64::from(days)).hours();
    then.strftime("%Y-%m-%d 12:00:00").to_string()
}
