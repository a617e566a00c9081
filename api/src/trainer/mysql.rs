//! MySQL and MariaDB: one session, in which both tables are read, and then the model is published.

use super::error::Error;
use super::window::Window;
use crate::model::Day;
use crate::store::mysql::relay::{Relay, SHORT};
use crate::store::mysql::session::{self, Purpose};
use crate::store::mysql::{Address, model_table, number};
use crate::trained::{MAX_BYTES, digest};
use crate::training::user::number_of_text;
use futures_util::{FutureExt as _, TryStreamExt as _};
use reckon_contract::tables::{Table, UserIdType};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;

/// Maximum time for a connection, from the name look-up to the settings of the session.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Time beyond the server's statement limit for the server to report that a statement has ended.
const GRACE: Duration = Duration::from_secs(5);
/// Maximum time to close the session.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(300);
/// Maximum bytes that the server may send between two rows. A row has less than 5 KiB, but the buffers of sockets may
/// hold many rows after it.
const BETWEEN_ROWS: usize = 4 << 20;
/// Longest name of a lock.
const LOCK_NAME: usize = 64;
/// Bytes of the statement that inserts a document, beyond the document.
const INSERT: u64 = 1024;
/// Number of models that are kept.
const KEPT: u32 = 3;

/// The session.
pub struct MySql {
    session: MySqlConnection,
    relay: Relay,
    limit: Duration,
    database: String,
}

impl MySql {
    /// Opens a session whose statements the server ends after `limit`.
    pub async fn open(address: &Address, limit: Duration) -> Result<Self, Error> {
        let doing = "connect to the database";
        let (server, options) = (address.relay(), address.options().set_names(false));
        let opening = async {
            let (mut session, mut relay) = Relay::connect(&server, &options).await?;
            let settings = session::settings(&address.database, Purpose::Train { limit });
            let settings = session.fetch_one(sqlx::raw_sql(AssertSqlSafe(settings)));
            relay
                .during(SHORT, settings)
                .await
                .map_err(session::not_executed)?;
            Ok((session, relay))
        };
        let (session, relay) = within(doing, CONNECT_TIMEOUT, opening).await?;
        let database = address.database.clone();
        Ok(Self {
            session,
            relay,
            limit,
            database,
        })
    }

    /// Ensures that no other training of this database runs until the session ends.
    pub async fn lock(&mut self) -> Result<(), Error> {
        let name = lock_name(&self.database);
        let statement = format!("SELECT GET_LOCK('{}', 0)", name.replace('\'', "''"));
        let row = self.row("take the lock of the training", statement).await;
        let locked = match row {
            Ok(row) => row.and_then(|row| row.try_get_unchecked::<Option<i64>, _>(0).ok()?),
            // This is a cluster without such locks. If two trainings run at the same time, the later one ends with an
            // error at its publication.
            Err(Error::Statement(_, error)) if number(&error) == Some(1235) => return Ok(()),
            Err(error) => return Err(error),
        };
        if locked == Some(1) {
            Ok(())
        } else {
            Err(Error::Locked(name))
        }
    }

    /// Ensures that there is a table for models, and that this account may write to it.
    pub async fn ensure_table(&mut self) -> Result<(), Error> {
        let limit = self.limit + GRACE;
        let columns = model_table::columns(&mut self.session);
        let columns = self.relay.during(SHORT, columns);
        let columns = within(
            "read the definition of the table reckon_model",
            limit,
            columns,
        )
        .await?;
        match model_table::missing(&columns) {
            Some(column) if !columns.is_empty() => return Err(Error::OtherTable(column)),
            Some(_) => {
                let made = self
                    .run("create the table reckon_model", model_table::CREATE)
                    .await;
                made.map_err(|error| denied(error, Error::NoTable))?;
            }
            None => {}
        }
        // The server checks privileges even though there is no row to write. This happens now, so that a missing one is
        // found before the training.
        for statement in [
            "INSERT INTO `reckon_model` (`digest`, `document`) SELECT '', '' FROM (SELECT 1 AS one) AS ones WHERE FALSE",
            "DELETE FROM `reckon_model` WHERE FALSE",
        ] {
            let may = self.run("write to the table reckon_model", statement).await;
            may.map_err(|error| denied(error, Error::Denied))?;
        }
        Ok(())
    }

    /// The newest model: its digest and document.
    pub async fn published(&mut self) -> Result<Option<(String, Vec<u8>)>, Error> {
        let doing = "read the published model";
        let statement = format!(
            "SELECT `digest`, LEFT(`document`, {}) FROM `reckon_model` ORDER BY `id` DESC LIMIT 1",
            MAX_BYTES + 1
        );
        let row = self.long_row(doing, statement, SHORT + MAX_BYTES).await?;
        let model = row.map(|row| {
            let document: Option<Vec<u8>> = row.try_get_unchecked(1)?;
            Ok((row.try_get_unchecked(0)?, document.unwrap_or_default()))
        });
        model
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))
    }

    /// The newest day of a purchase that is not in the future. A day more is allowed, since times have no zone.
    pub async fn newest_day(&mut self, purchases: &Table) -> Result<Option<Day>, Error> {
        let Table { name, time, .. } = purchases;
        let doing = format!("read the newest date of {name}");
        let statement = format!(
            "SELECT MAX(TO_DAYS(`{time}`)) FROM `{name}` WHERE TO_DAYS(`{time}`) <= TO_DAYS(UTC_DATE()) + 1{}",
            successful(purchases)
        );
        let row = self.row(doing.clone(), statement).await?;
        let day = row.map(|row| row.try_get_unchecked::<Option<i32>, _>(0));
        let day = day
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))?;
        Ok(day.flatten().map(Day))
    }

    /// Begins a snapshot: from here on, later changes of rows are not visible.
    pub async fn begin_reading(&mut self) -> Result<(), Error> {
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        self.run("begin a transaction", begin).await
    }

    /// Ends the snapshot, because its transaction would block the server's purge, and changes of the tables'
    /// definitions.
    pub async fn end_reading(&mut self) -> Result<(), Error> {
        self.run("end the transaction", "COMMIT").await
    }

    /// Calls `take` with user, time (as `TO_SECONDS` counts) and category of each row in the window, in any order.
    pub async fn read(
        &mut self,
        table: &Table,
        ids: UserIdType,
        window: Window,
        mut take: impl FnMut(i64, i64, Option<&str>),
    ) -> Result<(), Error> {
        let (from, to) = window.seconds();
        let statement = select(table, ids);
        let rows = sqlx::query(AssertSqlSafe(statement)).bind(from).bind(to);
        let mut rows = rows.fetch(&mut self.session);
        let relay = &mut self.relay;
        let reading = async {
            // Each call allows the server the same number of bytes again.
            while let Some(row) = relay.during(BETWEEN_ROWS, rows.try_next()).await? {
                let user = match ids {
                    UserIdType::Integer => row.try_get_unchecked(0)?,
                    UserIdType::Text => number_of_text(row.try_get_unchecked(0)?),
                };
                let time = row.try_get_unchecked(1)?;
                let category: Option<&[u8]> = row.try_get_unchecked(2)?;
                let category = category.map(String::from_utf8_lossy);
                take(user, time, category.as_deref());
            }
            Ok(())
        };
        let doing = format!("read the table {}", table.name);
        within(doing, self.limit + GRACE, reading).await
    }

    /// Publishes a document, unless a document newer than `known` was published. Deletes old documents; if `replaces`
    /// is set, also the one of `known`.
    pub async fn publish(
        &mut self,
        known: Option<&str>,
        document: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        self.check_packet(document.len()).await?;
        let doing = "publish the model";
        self.run(doing, "START TRANSACTION").await?;
        let newest =
            "SELECT `digest`, `id` FROM `reckon_model` ORDER BY `id` DESC LIMIT 1 FOR UPDATE";
        let newest = self.row(doing, newest.to_owned()).await?;
        let newest = newest.map(|row| {
            let digest: String = row.try_get_unchecked(0)?;
            Ok((digest, row.try_get_unchecked::<u64, _>(1)?))
        });
        let newest = newest
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))?;
        if newest.as_ref().map(|(digest, _)| digest.as_str()) != known {
            self.run(doing, "ROLLBACK").await?;
            return Err(Error::Overtaken);
        }
        if let Some((_, id)) = newest.filter(|_| replaces) {
            let delete = format!("DELETE FROM `reckon_model` WHERE `id` = {id}");
            self.run(doing, delete).await?;
        }
        let insert = sqlx::query("INSERT INTO `reckon_model` (`digest`, `document`) VALUES (?, ?)")
            .bind(digest(document))
            .bind(document);
        let inserting = self.relay.during(SHORT, insert.execute(&mut self.session));
        within(doing, self.limit + GRACE, inserting).await?;
        let oldest = format!(
            "SELECT `id` FROM `reckon_model` ORDER BY `id` DESC LIMIT 1 OFFSET {}",
            KEPT - 1
        );
        if let Some(row) = self.row(doing, oldest).await? {
            let oldest: u64 = row
                .try_get_unchecked(0)
                .map_err(|error| Error::Statement(doing.into(), error))?;
            let delete = format!("DELETE FROM `reckon_model` WHERE `id` < {oldest}");
            self.run(doing, delete).await?;
        }
        let committed = self.run(doing, "COMMIT").await;
        committed.map_err(|error| Error::Unconfirmed(error.into()))
    }

    async fn check_packet(&mut self, size: usize) -> Result<(), Error> {
        let doing = "read the server's maximum packet size";
        let row = self
            .row(doing, "SELECT @@max_allowed_packet".to_owned())
            .await?;
        let packet = row.map(|row| row.try_get_unchecked::<u64, _>(0));
        let packet = packet
            .transpose()
            .map_err(|error| Error::Statement(doing.into(), error))?;
        let (packet, needed) = (packet.unwrap_or(u64::MAX), size as u64 + INSERT);
        if needed > packet {
            return Err(Error::Packet {
                size,
                packet,
                needed,
            });
        }
        Ok(())
    }

    /// Closes the session, which releases the lock.
    pub async fn close(self) {
        // The server detects a closed socket as well.
        timeout(CLOSE_TIMEOUT, self.relay.close(self.session))
            .await
            .ok();
    }

    async fn run(
        &mut self,
        doing: impl Into<Cow<'static, str>>,
        statement: impl Into<String>,
    ) -> Result<(), Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.into()));
        let running = self.relay.during(SHORT, self.session.execute(statement));
        within(doing, self.limit + GRACE, running).await.map(|_| ())
    }

    async fn row(
        &mut self,
        doing: impl Into<Cow<'static, str>>,
        statement: String,
    ) -> Result<Option<MySqlRow>, Error> {
        self.long_row(doing, statement, SHORT).await
    }

    async fn long_row(
        &mut self,
        doing: impl Into<Cow<'static, str>>,
        statement: String,
        bytes: usize,
    ) -> Result<Option<MySqlRow>, Error> {
        // Not sent as text, so that numbers are received as numbers.
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let running = self
            .relay
            .during(bytes, query.fetch_optional(&mut self.session));
        within(doing, self.limit + GRACE, running).await
    }
}

/// The result of `work`, which may take at most `limit`.
async fn within<T>(
    doing: impl Into<Cow<'static, str>>,
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    match timeout(limit, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(result)) => result.map_err(|error| match number(&error) {
            Some(1969 | 3024) => Error::Limit(doing.into(), error),
            _ => Error::Statement(doing.into(), error),
        }),
        // The same error as the driver's when a server violates the protocol.
        Ok(Err(_panic)) => Err(Error::Statement(
            doing.into(),
            sqlx::Error::Protocol("the server's answer cannot be read".to_owned()),
        )),
        Err(_) => Err(Error::TimedOut {
            doing: doing.into(),
            limit,
        }),
    }
}

/// `error`, or the error `meaning` if a privilege is missing.
fn denied(error: Error, meaning: impl FnOnce(sqlx::Error) -> Error) -> Error {
    match error {
        Error::Statement(_, cause) if model_table::is_denied(&cause) => meaning(cause),
        error => error,
    }
}

/// The rows of a table. Categories and text ids are read as the bytes of their UTF-8 text, as for answers. If a
/// category is too long for a model, only its beginning is read.
fn select(table: &Table, ids: UserIdType) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let id = match ids {
        UserIdType::Integer => format!("CAST(`{user}` AS SIGNED)"),
        UserIdType::Text => format!("CAST(CONVERT(`{user}` USING utf8mb4) AS BINARY)"),
    };
    format!(
        "SELECT {id}, TO_SECONDS(`{time}`), CAST(LEFT(CONVERT(`{category}` USING utf8mb4), 1025) AS BINARY) \
         FROM `{name}` WHERE `{user}` IS NOT NULL AND TO_SECONDS(`{time}`) >= ? AND TO_SECONDS(`{time}`) < ?{}",
        successful(table)
    )
}

/// The condition on rows that count.
fn successful(table: &Table) -> String {
    let success = table.success.as_ref().filter(|_| table.only_successful);
    success.map_or(String::new(), |success| format!(" AND `{success}` = 1"))
}

/// The name of the lock on a database, which is at most 64 characters long.
fn lock_name(database: &str) -> String {
    let name = format!("reckon_train.{database}");
    if name.chars().count() <= LOCK_NAME {
        name
    } else {
        format!("reckon_train.{}", &digest(database.as_bytes())[..32])
    }
}

#[cfg(test)]
mod tests {
    use super::{LOCK_NAME, lock_name, select};
    use reckon_contract::tables::{Table, UserIdType};

    #[test]
    fn the_name_of_the_lock_names_the_database_and_is_never_too_long() {
        assert_eq!(lock_name("shop"), "reckon_train.shop");
        let (one, other) = ("x".repeat(63) + "1", "x".repeat(63) + "2");
        assert_ne!(lock_name(&one), lock_name(&other));
        assert!(lock_name(&one).len() <= LOCK_NAME);
    }

    #[test]
    fn rows_are_read_without_an_order() {
        insta::assert_snapshot!(select(&Table::searches(), UserIdType::Integer), @"SELECT CAST(`id` AS SIGNED), TO_SECONDS(`searched_at`), CAST(LEFT(CONVERT(`category` USING utf8mb4), 1025) AS BINARY) FROM `searches` WHERE `id` IS NOT NULL AND TO_SECONDS(`searched_at`) >= ? AND TO_SECONDS(`searched_at`) < ?");
    }

    #[test]
    fn text_ids_are_read_as_bytes_and_only_rows_that_count() {
        let table = Table {
            name: "order items".to_owned(),
            user: "who".to_owned(),
            only_successful: true,
            ..Table::purchases()
        };
        insta::assert_snapshot!(select(&table, UserIdType::Text), @"SELECT CAST(CONVERT(`who` USING utf8mb4) AS BINARY), TO_SECONDS(`purchased_at`), CAST(LEFT(CONVERT(`product_category` USING utf8mb4), 1025) AS BINARY) FROM `order items` WHERE `who` IS NOT NULL AND TO_SECONDS(`purchased_at`) >= ? AND TO_SECONDS(`purchased_at`) < ? AND `SUCCESS` = 1");
    }
}
