//! The settings of a session. Every session inherits variables from the server and from `init_connect`, so each session of
//! this program first sets every variable that can change an answer, a stored value or the session's lifetime.

use super::address::Address;
use super::relay::{Relay, SHORT};
use crate::store::AccountLimit;
use sha2::{Digest as _, Sha256};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, MySqlConnection, Row as _, raw_sql};
use std::time::Duration;

/// The purpose of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading histories.
    Read {
        /// The server ends a statement after this time.
        limit: Duration,
    },
    /// Reading all rows, then publishing a model.
    Train {
        /// The server ends a statement after this time.
        limit: Duration,
    },
    /// Storing events and erasing users.
    Events {
        /// Maximum wait for a lock; MariaDB also ends a statement after this time.
        limit: Duration,
    },
    /// Changing tables or rows; statements may take any time.
    Write {
        /// The maximum wait for a table's metadata lock, in whole seconds, at least 1.
        lock_wait: Duration,
    },
}

/// Opens a session with its [`settings`].
///
/// # Errors
/// The server is unreachable, or the settings were not executed completely.
pub(crate) async fn open(
    address: &Address,
    purpose: Purpose,
) -> Result<MySqlConnection, sqlx::Error> {
    let mut session = address.options().set_names(false).connect().await?;
    let settings = settings(&address.database, purpose);
    let settings = raw_sql(AssertSqlSafe(settings));
    session.fetch_one(settings).await.map_err(not_executed)?;
    Ok(session)
}

/// The error of a session whose [`settings`] returned no row.
pub(crate) fn not_executed(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::RowNotFound => sqlx::Error::Protocol(
            "the server, or a proxy in front of it, answered OK and did not execute the settings of the session".to_owned(),
        ),
        error => error,
    }
}

/// The statements to run first in a session on `database`: one string of several statements, so one round trip, to be
/// run as text (`sqlx::raw_sql`). They are the same for MySQL and MariaDB. A session that did not run all of these
/// statements must not be used. The last statement returns the server's version, the account and its limit of
/// connections, so a missing row means that the statements were not executed.
///
/// The first statement must not be one that a proxy handles itself. If a string begins with `ROLLBACK`, `ProxySQL`
/// drops the rest and answers OK. It also handles a leading `USE` or `SET NAMES`.
///
/// Values are literals, because `DEFAULT` is the server's global value.
pub(crate) fn settings(database: &str, purpose: Purpose) -> String {
    let database = database.replace('`', "``");
    // A binary log in the format STATEMENT rejects writes under READ COMMITTED.
    let (isolation, own) = match purpose {
        Purpose::Read { limit } => ("READ COMMITTED", reading(limit)),
        Purpose::Train { limit } => ("REPEATABLE READ", training(limit)),
        Purpose::Events { limit } => ("REPEATABLE READ", storing(limit)),
        Purpose::Write { lock_wait } => ("REPEATABLE READ", writing(lock_wait)),
    };
    // `init_connect` may have begun a transaction, whose snapshot would remain, and may have chosen another database.
    // The transaction is ended before `autocommit` is set, which would commit it. With another `completion_type`,
    // `ROLLBACK` would begin a transaction or end the session.
    format!(
        "SET SESSION completion_type = 0; \
         ROLLBACK; \
         SET SESSION TRANSACTION ISOLATION LEVEL {isolation}, READ WRITE; \
         SET NAMES utf8mb4 COLLATE utf8mb4_general_ci; \
         USE `{database}`; \
         SET SESSION autocommit = 1, sql_select_limit = {UNLIMITED}, max_join_size = {UNLIMITED}, \
         sql_big_selects = 1, sql_safe_updates = 0, sql_auto_is_null = 0, time_zone = '+00:00', max_sort_length = 1024, \
         group_concat_max_len = 1048576, div_precision_increment = 4, net_read_timeout = 30, net_write_timeout = 60, \
         {own} /*M!100304 , system_versioning_asof = DEFAULT */; \
         SELECT VERSION(), CURRENT_USER(), @@max_user_connections"
    )
}

/// The limit in the row that [`settings`] return. A proxy may have removed it.
pub(super) fn account_limit(row: &MySqlRow) -> Option<AccountLimit> {
    let account: String = row.try_get_unchecked(1).ok()?;
    let connections: i64 = row.try_get_unchecked(2).ok()?;
    let digest = Sha256::digest(account.as_bytes());
    Some(AccountLimit {
        account: u64::from_be_bytes(*digest.first_chunk()?),
        connections: connections.max(0).try_into().unwrap_or(u32::MAX),
    })
}

/// Reads the limit again: it may have been changed.
pub(super) async fn read_limit(
    session: &mut MySqlConnection,
    relay: &mut Relay,
    limit: &mut AccountLimit,
) -> Result<(), sqlx::Error> {
    // Sent as text, like the settings.
    let read = session.fetch_one(raw_sql("SELECT @@max_user_connections"));
    let row = relay.during(SHORT, read).await?;
    let connections: i64 = row.try_get_unchecked(0)?;
    limit.connections = connections.max(0).try_into().unwrap_or(u32::MAX);
    Ok(())
}

/// The maximum value of a 64-bit variable.
const UNLIMITED: u64 = u64::MAX;

/// `sql_mode` is empty, so no mode changes how the statement or a value is read (`PAD_CHAR_TO_FULL_LENGTH` would).
fn reading(limit: Duration) -> String {
    format!(
        "sql_mode = '', lock_wait_timeout = {lock}, wait_timeout = 60 {limits}",
        lock = lock_wait(limit).as_secs(),
        limits = limits(limit),
    )
}

/// Each product has a different name for the limit of a statement, in a comment that only this product executes.
fn limits(limit: Duration) -> String {
    format!(
        "/*!50708 , max_execution_time = {milliseconds} */ /*M!100101 , max_statement_time = {seconds} */",
        milliseconds = limit.as_millis(),
        seconds = limit.as_secs_f64(),
    )
}

/// A value that does not fit its column is an error, because otherwise the database would cut the document. The session
/// may be idle for long, while the model is computed.
fn training(limit: Duration) -> String {
    format!(
        "sql_mode = 'STRICT_ALL_TABLES', innodb_lock_wait_timeout = 50, lock_wait_timeout = {lock}, wait_timeout = 28800 \
         {limits}",
        lock = lock_wait(limit).as_secs().min(60),
        limits = limits(limit),
    )
}

/// A value that does not fit its column is an error, and keys and CHECK constraints are checked. Only the fraction of a
/// time is truncated to the column's precision, because MySQL would round it up into the future. If the process ends,
/// the server closes its session after a minute.
fn storing(limit: Duration) -> String {
    let modes = "STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO";
    format!(
        "sql_mode = '{modes}', foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = {lock}, \
         lock_wait_timeout = {lock}, wait_timeout = 60 /*!80001 , sql_mode = '{modes},TIME_TRUNCATE_FRACTIONAL' */ \
         /*M!100203 , check_constraint_checks = 1 */ {limits}",
        lock = lock_wait(limit).as_secs(),
        limits = limits(limit),
    )
}

/// A value that does not fit its column is an error, keys and CHECK constraints are checked, and 0 is an ordinary user id,
/// also in an auto-increment column. Timeouts are the servers' defaults.
fn writing(lock_wait: Duration) -> String {
    format!(
        "sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', foreign_key_checks = 1, unique_checks = 1, innodb_lock_wait_timeout = 50, \
         lock_wait_timeout = {lock}, wait_timeout = 28800 \
         /*!50708 , max_execution_time = 0 */ /*M!100203 , max_statement_time = 0, check_constraint_checks = 1 */",
        lock = lock_wait.as_secs().max(1),
    )
}

/// How long a statement may wait for a table's lock: the limit in whole seconds, because servers accept only these. It
/// is rounded up, because `migrate` waits for its lock for one second, and a session behind it must not time out at the
/// same moment.
pub(super) fn lock_wait(limit: Duration) -> Duration {
    let begun = Duration::from_secs(u64::from(limit.subsec_nanos() > 0));
    (Duration::from_secs(limit.as_secs()) + begun).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::{Purpose, lock_wait, open, settings};
    use crate::store::mysql::{Address, Tls};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// The greeting of a server without TLS.
    const GREETING: &[u8] = b"\n5.5.5-10.4.7-MariaDB\0\x0b\0\0\0t6L\\j\"dS\0\xfe\xf7\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\x07\0\0\0U14Oph9\"<H5n\0mysql_native_password\0";

    /// Answers OK to the login and to the statements, like a proxy that drops them.
    async fn agree(listener: TcpListener) {
        let (mut client, _) = listener.accept().await.unwrap();
        let length = u8::try_from(GREETING.len()).unwrap();
        let greeting = [&[length, 0, 0, 0], GREETING].concat();
        client.write_all(&greeting).await.unwrap();
        for sequence in [2, 1] {
            assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
            let ok = [7, 0, 0, sequence, 0, 0, 0, 2, 0, 0, 0];
            client.write_all(&ok).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_session_whose_settings_are_answered_ok_and_not_executed_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            user: "reckon".to_owned(),
            password: "".into(),
            database: "shop".to_owned(),
            tls: Tls::Disabled,
            tls_ca: None,
        };
        let lock_wait = Duration::from_secs(1);
        let opening = open(&address, Purpose::Write { lock_wait });
        let (result, ()) = tokio::join!(opening, agree(listener));
        let error = result.unwrap_err().to_string();
        assert!(error.contains("did not execute the settings"), "{error}");
    }

    #[test]
    fn a_wait_for_a_lock_takes_whole_seconds() {
        for (limit, seconds) in [(450, 1), (1000, 1), (1800, 2), (9000, 9)] {
            let wait = lock_wait(Duration::from_millis(limit));
            assert_eq!(wait, Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_reading_session_is_limited_under_both_products_names() {
        let limit = Duration::from_millis(1800);
        let settings = settings("shop", Purpose::Read { limit });
        for part in [
            "lock_wait_timeout = 2, wait_timeout = 60 ",
            "/*!50708 , max_execution_time = 1800 */ /*M!100101 , max_statement_time = 1.8 */",
        ] {
            assert!(settings.contains(part), "{settings}");
        }
    }

    #[test]
    fn a_proxy_handles_no_first_statement_by_itself_and_the_last_one_returns_a_row() {
        let lock_wait = Duration::from_secs(1);
        let settings = settings("shop", Purpose::Write { lock_wait });
        assert!(
            settings.starts_with("SET SESSION completion_type = 0; ROLLBACK; "),
            "{settings}"
        );
        assert!(
            settings.ends_with("; SELECT VERSION(), CURRENT_USER(), @@max_user_connections"),
            "{settings}"
        );
    }

    #[test]
    fn a_databases_name_is_quoted() {
        let lock_wait = Duration::from_secs(1);
        let settings = settings("a`b; c", Purpose::Write { lock_wait });
        assert!(settings.contains("; USE `a``b; c`; "), "{settings}");
    }
}
