//! The original service's two tables, as existing databases have them, and histories to put into them.

use sqlx::mysql::MySql;
use sqlx::{Executor, QueryBuilder};

use super::sql_server::SqlServer;

/// Rows in one INSERT: four values each, and a statement takes 65,535.
const ROWS: usize = 5_000;

/// The type of the user's id.
#[derive(Clone, Copy, Debug)]
pub enum IdColumn {
    /// 32 bits.
    Int,
    /// 64 bits.
    BigInt,
}

/// The type of `category` and `product_category`.
#[derive(Clone, Copy, Debug)]
pub enum CategoryColumn {
    /// Cannot be indexed whole.
    Text,
    /// Can be indexed whole in every character set.
    Varchar255,
    /// Can be indexed whole in latin1 only.
    Varchar2000,
}

/// The type of `SUCCESS`.
#[derive(Clone, Copy, Debug)]
pub enum SuccessColumn {
    /// A bit.
    Bit,
    /// MySQL's type for a boolean.
    TinyInt,
}

/// Character set and collation of the tables.
#[derive(Clone, Copy, Debug)]
pub enum Collation {
    /// MariaDB's own default, one byte a character.
    Latin1,
    /// Compares without regard to case.
    Utf8mb4GeneralCi,
    /// Compares code points.
    Utf8mb4Bin,
}

/// How the tables `searches` and `purchase` are declared. There is no primary key and no index: `id` is the user's.
#[derive(Clone, Copy, Debug)]
pub struct OriginalTables {
    /// The users' ids.
    pub id: IdColumn,
    /// The categories.
    pub category: CategoryColumn,
    /// A column that is not read.
    pub success: SuccessColumn,
    /// How texts are stored and compared.
    pub collation: Collation,
    /// Two columns that the original does not have, one of them before its own columns.
    pub extra_columns: bool,
}

impl Default for OriginalTables {
    fn default() -> Self {
        Self {
            id: IdColumn::BigInt,
            category: CategoryColumn::Varchar255,
            success: SuccessColumn::Bit,
            collation: Collation::Utf8mb4GeneralCi,
            extra_columns: false,
        }
    }
}

impl OriginalTables {
    /// Creates both tables in a new or existing database, and replaces older ones.
    pub async fn create(self, server: &SqlServer, database: &str) {
        let searches = self.table("searches", "search", "searched_at", "category");
        let purchase = self.table(
            "purchase",
            "product_name",
            "purchased_at",
            "product_category",
        );
        server
            .execute(format!(
                "CREATE DATABASE IF NOT EXISTS `{database}`; USE `{database}`; \
                 DROP TABLE IF EXISTS searches, purchase; {searches}; {purchase}"
            ))
            .await;
    }

    fn table(self, name: &str, what: &str, when: &str, category: &str) -> String {
        let id = match self.id {
            IdColumn::Int => "INT",
            IdColumn::BigInt => "BIGINT",
        };
        let category_type = match self.category {
            CategoryColumn::Text => "TEXT",
            CategoryColumn::Varchar255 => "VARCHAR(255)",
            CategoryColumn::Varchar2000 => "VARCHAR(2000)",
        };
        let success = match self.success {
            SuccessColumn::Bit => "BIT(1)",
            SuccessColumn::TinyInt => "TINYINT(1)",
        };
        let collation = match self.collation {
            Collation::Latin1 => "latin1 COLLATE latin1_swedish_ci",
            Collation::Utf8mb4GeneralCi => "utf8mb4 COLLATE utf8mb4_general_ci",
            Collation::Utf8mb4Bin => "utf8mb4 COLLATE utf8mb4_bin",
        };
        let (first, last) = if self.extra_columns {
            ("session CHAR(36) NULL, ", ", note TEXT NULL")
        } else {
            ("", "")
        };
        format!(
            "CREATE TABLE {name} ({first}id {id} NULL, {what} VARCHAR(255) NULL, {when} DATETIME NULL, \
             {category} {category_type} NULL, SUCCESS {success} NULL{last}) DEFAULT CHARSET={collation}"
        )
    }
}

/// One search or one purchase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its category, which the original sometimes omits.
    pub category: Option<String>,
    /// `2026-01-31 12:00:00`, or the zero date `0000-00-00 00:00:00`.
    pub at: Option<String>,
}

impl Event {
    /// An event of a category (`None` for NULL) at a time.
    pub fn new<'a, 'b>(
        category: impl Into<Option<&'a str>>,
        at: impl Into<Option<&'b str>>,
    ) -> Self {
        Self {
            category: category.into().map(str::to_owned),
            at: at.into().map(str::to_owned),
        }
    }

    /// An event this many minutes before noon of 2026-01-31.
    pub fn before_noon<'a>(minutes: usize, category: impl Into<Option<&'a str>>) -> Self {
        let (days, minutes) = (minutes / 720, minutes % 720);
        assert!(days < 31, "that is before 2026");
        let (day, minute_of_day) = (31 - days, 720 - minutes);
        let at = format!(
            "2026-01-{day:02} {:02}:{:02}:00",
            minute_of_day / 60,
            minute_of_day % 60
        );
        Self::new(category, at.as_str())
    }
}

/// The events of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The user's id.
    pub user_id: i64,
    /// The rows of `searches`, in any order.
    pub searches: Vec<Event>,
    /// The rows of `purchase`, in any order.
    pub purchases: Vec<Event>,
}

impl History {
    /// A history from categories only, newest first and one minute apart, as in `golden.json`.
    ///
    /// `S` is `&str`, or `Option<&str>` where there are NULLs.
    pub fn newest_first<'a, S>(user_id: i64, searches: &[S], purchases: &[S]) -> Self
    where
        S: Into<Option<&'a str>> + Clone,
    {
        let events = |categories: &[S]| {
            let events = categories.iter().cloned().enumerate();
            events
                .map(|(minutes, category)| Event::before_noon(minutes, category))
                .collect()
        };
        Self {
            user_id,
            searches: events(searches),
            purchases: events(purchases),
        }
    }
}

/// Writes histories into the tables of `database`, in the order given.
pub async fn insert(server: &SqlServer, database: &str, histories: &[History]) {
    let searches = rows(histories, |history| &history.searches);
    let purchases = rows(histories, |history| &history.purchases);
    let columns = "(id, search, searched_at, category, SUCCESS)";
    insert_rows(
        server,
        format!("`{database}`.searches {columns}"),
        &searches,
    )
    .await;
    let columns = "(id, product_name, purchased_at, product_category, SUCCESS)";
    insert_rows(
        server,
        format!("`{database}`.purchase {columns}"),
        &purchases,
    )
    .await;
}

fn rows(histories: &[History], events: impl Fn(&History) -> &Vec<Event>) -> Vec<(i64, &Event)> {
    histories
        .iter()
        .flat_map(|history| events(history).iter().map(|event| (history.user_id, event)))
        .collect()
}

async fn insert_rows(server: &SqlServer, table: String, rows: &[(i64, &Event)]) {
    let mut connection = server.admin().await;
    // Allows zero dates, and loses characters that latin1 cannot express, as old servers did.
    connection
        .execute("SET SESSION sql_mode = ''")
        .await
        .unwrap();
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<MySql>::new(format!("INSERT INTO {table} "));
        query.push_values(rows, |mut row, (user_id, event)| {
            row.push_bind(user_id)
                .push("'thing'")
                .push_bind(&event.at)
                .push_bind(&event.category)
                .push("1");
        });
        query.build().execute(&mut connection).await.unwrap();
    }
}
