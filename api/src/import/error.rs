//! Why an import ended early, which rows are imported, and what to do: pure.

use super::file;
use super::journal;
use crate::store::mysql::migrate;
use indicatif::HumanCount;
use sqlx::error::DatabaseError;
use sqlx::mysql::MySqlDatabaseError;
use sqlx::sqlite::SqliteError;
use std::error::Error;

/// Why some rows are not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A signal was received.
    #[error("interrupted")]
    Interrupted,
    /// A signal was received, and the transaction in progress did not end in time.
    #[error(
        "interrupted, and the database did not answer in time: whether rows {rows} of {table} are in is unknown"
    )]
    InterruptedInWrite {
        /// The table.
        table: String,
        /// The rows, `first to last`.
        rows: String,
    },
    /// The file differs from the checked one.
    #[error("failed to read the file again")]
    File(#[source] file::Error),
    /// No transaction could be begun.
    #[error("failed to begin a transaction")]
    Begin(#[source] sqlx::Error),
    /// The rows were rejected, or the connection was lost, before COMMIT was sent.
    #[error("failed to write rows {rows} of {table}; none of these is in")]
    Write {
        /// The table.
        table: String,
        /// The rows, `first to last`.
        rows: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// The answer to COMMIT is an error or was not received.
    #[error("failed to commit rows {rows} of {table}: whether these are in is unknown")]
    Commit {
        /// The table.
        table: String,
        /// The rows, `first to last`.
        rows: String,
        /// The cause.
        #[source]
        source: sqlx::Error,
    },
    /// Another process is importing into the table.
    #[error("another import into {0} is running")]
    Rival(String),
    /// The journal table cannot be read or written.
    #[error("failed to note how far the import is")]
    Note(#[source] sqlx::Error),
}

/// How much of a file is imported.
#[derive(Clone, Debug)]
pub struct State {
    /// The table.
    pub table: String,
    /// Rows that are certainly imported.
    pub written: u64,
    /// Rows of the file.
    pub total: u64,
}

impl ImportError {
    /// What is imported, and what to do.
    #[must_use]
    pub fn advice(&self, states: &[State]) -> String {
        let mut parts: Vec<String> = states
            .iter()
            .map(
                |State {
                     table,
                     written,
                     total,
                 }| {
                    format!(
                        "{table}: {} of {} rows are in",
                        HumanCount(*written),
                        HumanCount(*total)
                    )
                },
            )
            .collect();
        parts.push(self.remedy(states));
        parts.join("; ")
    }

    fn remedy(&self, states: &[State]) -> String {
        const RESUME: &str = "rerun the same command to resume";
        let begun = states
            .iter()
            .find(|state| 0 < state.written && state.written < state.total);
        match (self, begun) {
            (Self::Interrupted | Self::InterruptedInWrite { .. }, _) => RESUME.to_owned(),
            (Self::Commit { .. }, _) => format!("{RESUME}, which finds out"),
            (Self::Rival(_), _) => format!("when that one has ended, {RESUME}"),
            (Self::File(file::Error::Changed(_)), Some(State { table, .. })) => format!(
                "these rows may be of either version of the file: restore the checked version and {RESUME}, or delete them from \
                 {table}, run \"{}\" and start again",
                journal::abandon(table)
            ),
            _ if may_pass(self) => RESUME.to_owned(),
            // No file is partly imported, so a corrected file can replace this one.
            (_, None) => "correct the cause, then run the command again".to_owned(),
            (_, Some(State { table, written, .. })) => format!(
                "the same command fails again until the cause is corrected in the database; to resume with a corrected file instead, \
                 run \"{}\", remove the first {} rows from the file and use --append",
                journal::abandon(table),
                HumanCount(*written)
            ),
        }
    }
}

/// Whether a retry may succeed without any correction: after a lost connection, after a lock, or if the server was full
/// or shutting down. The numbers are from the servers' reference.
#[must_use]
pub fn may_pass(error: &(dyn Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.into_iter().any(|cause| {
        if let Some(migrate::Error::Locked { .. }) = cause.downcast_ref() {
            return true;
        }
        match cause.downcast_ref() {
            Some(sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed) => true,
            Some(sqlx::Error::Database(error)) => passes(error.as_ref()),
            _ => false,
        }
    })
}

fn passes(error: &dyn DatabaseError) -> bool {
    if let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() {
        return matches!(
            error.number(),
            // Too many connections or transactions.
            1040 | 1203 | 1226 | 1637
            // Shutdown, killed, network, idle.
            | 1053 | 1077 | 1079 | 1152 | 1158
                ..=1161 | 1184 | 1317 | 1927 | 3169 | 4031
            // Lock wait, deadlock.
            | 1205 | 1213
        );
    }
    // The low byte is the primary code; the other bytes are its extension.
    let code = error
        .try_downcast_ref::<SqliteError>()
        .and_then(|error| error.code()?.parse::<u32>().ok());
    // SQLITE_BUSY, SQLITE_LOCKED.
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

#[cfg(test)]
mod tests {
    use super::{ImportError, State, may_pass};
    use crate::import::file;
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Executor as _};
    use std::time::Duration;

    fn state(table: &str, written: u64) -> State {
        State {
            table: table.to_owned(),
            written,
            total: 30_000,
        }
    }

    fn write(source: sqlx::Error) -> ImportError {
        ImportError::Write {
            table: "purchase".to_owned(),
            rows: "10,001 to 20,000".to_owned(),
            source,
        }
    }

    #[test]
    fn a_rerun_is_advised_only_where_it_can_succeed() {
        let lost = || sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into());
        let refused = || sqlx::Error::RowNotFound;
        let [none, some, all] = [0, 10_000, 30_000].map(|rows| [state("purchase", rows)]);
        for (halt, states, advised) in [
            (ImportError::Interrupted, &none, true),
            (write(lost()), &some, true),
            (write(refused()), &some, false),
            (write(refused()), &none, false),
            (write(refused()), &all, false),
            (ImportError::Note(lost()), &none, true),
            (ImportError::Note(refused()), &none, false),
            (
                ImportError::File(file::Error::Changed("a.csv".into())),
                &none,
                false,
            ),
        ] {
            let advice = halt.advice(states);
            let is_advised = advice.ends_with("; rerun the same command to resume");
            assert_eq!(is_advised, advised, "{halt}: {advice}");
        }
    }

    #[tokio::test]
    async fn a_file_lock_is_transient_and_a_constraint_violation_is_permanent() {
        let directory = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(directory.path().join("reckon.db"))
            .create_if_missing(true)
            .busy_timeout(Duration::ZERO);
        let mut owner = options.connect().await.unwrap();
        let mut other = options.connect().await.unwrap();
        owner
            .execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY); BEGIN IMMEDIATE")
            .await
            .unwrap();
        let locked = other.execute("BEGIN IMMEDIATE").await.unwrap_err();
        assert!(may_pass(&locked), "{locked}");
        let twice = "INSERT INTO numbers VALUES (1), (1)";
        let refused = owner.execute(twice).await.unwrap_err();
        assert!(!may_pass(&refused), "{refused}");
    }

    #[test]
    fn a_partial_import_is_reported_with_the_steps_to_repair_it() {
        let states = [state("searches", 30_000), state("purchase", 10_000)];
        let advice = write(sqlx::Error::RowNotFound).advice(&states);
        insta::assert_snapshot!(advice, @r#"searches: 30,000 of 30,000 rows are in; purchase: 10,000 of 30,000 rows are in; the same command fails again until the cause is corrected in the database; to resume with a corrected file instead, run "DELETE FROM reckon_import WHERE table_name = 'purchase'", remove the first 10,000 rows from the file and use --append"#);
        let advice = ImportError::File(file::Error::Changed("a.csv".into())).advice(&states);
        insta::assert_snapshot!(advice, @r#"searches: 30,000 of 30,000 rows are in; purchase: 10,000 of 30,000 rows are in; these rows may be of either version of the file: restore the checked version and rerun the same command to resume, or delete them from purchase, run "DELETE FROM reckon_import WHERE table_name = 'purchase'" and start again"#);
    }
}
