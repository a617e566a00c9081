//! How far an import came, kept in the database itself: a chunk's rows and the new count are one transaction, so that
//! after any end, kill and power cut included, the count says exactly which rows are in.

use super::session::Session;
use crate::store::table::Table;

/// A row for each table whose import has begun and not ended. Empty, it stays: to drop it could take the row of an import that
/// has just begun.
const TABLE: &str = "reckon_import";

/// How far the import of a file came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file's name, for people.
    pub file: String,
    /// Its [`super::file::Checked::fingerprint`].
    pub fingerprint: String,
    /// Rows that are in.
    pub written: u64,
    /// Rows that it has.
    pub total: u64,
}

/// What to do with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing was written so far.
    Begin,
    /// As many rows are in.
    Continue(u64),
}

/// Why not to write into a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// Rows of an unknown origin.
    #[error("the table {table} has {rows} rows already: --append adds to them")]
    HasRows {
        /// The table.
        table: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// Another file is half in.
    #[error(
        "the import of another file into {table} was interrupted: {written} of {total} rows of {file} are in; import that file, \
         unchanged, to resume, or abandon its other rows: {}",
        abandon(table)
    )]
    OtherFile {
        /// The table.
        table: &'static str,
        /// The file.
        file: String,
        /// Its rows that are in.
        written: u64,
        /// Its rows.
        total: u64,
    },
    /// Somebody deleted rows meanwhile.
    #[error(
        "the interrupted import of {file} into {table} had written {written} rows, of which {rows} are left: rows were deleted since, \
         so that it cannot go on; empty the table to begin anew"
    )]
    RowsGone {
        /// The table.
        table: &'static str,
        /// The file.
        file: String,
        /// Its rows that were in.
        written: u64,
        /// The table's rows.
        rows: u64,
    },
}

/// The statement that makes the database forget how far an import came.
pub fn abandon(table: &str) -> String {
    format!("DELETE FROM {TABLE} WHERE table_name = '{table}'")
}

/// Decides whether and from where to write, given the table's rows, what is known of an earlier import, and whether rows of
/// others are welcome.
///
/// # Errors
/// See [`ResumeError`].
pub fn decide(
    table: &Table,
    rows: u64,
    entry: Option<&Entry>,
    fingerprint: &str,
    append: bool,
) -> Result<Decision, ResumeError> {
    let table = table.name;
    match entry {
        // The table was emptied: whatever was begun, it is over.
        _ if rows == 0 => Ok(Decision::Begin),
        Some(entry) if entry.fingerprint == fingerprint && rows < entry.written => {
            Err(ResumeError::RowsGone {
                table,
                file: entry.file.clone(),
                written: entry.written,
                rows,
            })
        }
        Some(entry) if entry.fingerprint == fingerprint && entry.written > 0 => {
            Ok(Decision::Continue(entry.written))
        }
        Some(entry) if entry.written > 0 && entry.written < entry.total => {
            Err(ResumeError::OtherFile {
                table,
                file: entry.file.clone(),
                written: entry.written,
                total: entry.total,
            })
        }
        _ if append => Ok(Decision::Begin),
        _ => Err(ResumeError::HasRows { table, rows }),
    }
}

/// What is known of an earlier import into `table`.
pub async fn entry(session: &mut Session, table: &Table) -> Result<Option<Entry>, sqlx::Error> {
    if !session.has_table(TABLE).await? {
        return Ok(None);
    }
    let select = format!(
        "SELECT file_name, fingerprint, rows_written, rows_total FROM {TABLE} WHERE table_name = '{}'",
        table.name
    );
    let row: Option<(String, String, i64, i64)> = session.row(select).await?;
    Ok(row.map(|(file, fingerprint, written, total)| Entry {
        file,
        fingerprint,
        written: written.cast_unsigned(),
        total: total.cast_unsigned(),
    }))
}

/// Notes that an import begins, in the place of `before`. False where another one has begun or gone on since that was read.
pub async fn begin(
    session: &mut Session,
    table: &Table,
    before: Option<&Entry>,
    entry: &Entry,
) -> Result<bool, sqlx::Error> {
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {TABLE} (table_name VARCHAR(16) NOT NULL PRIMARY KEY, file_name VARCHAR(255) NOT NULL, \
         fingerprint CHAR(64) NOT NULL, rows_written BIGINT NOT NULL, rows_total BIGINT NOT NULL){}",
        session.table_options()
    );
    session.run(make).await?;
    let (table, total) = (table.name, entry.total);
    let (file, fingerprint) = (entry.file.as_str(), entry.fingerprint.as_str());
    let Some(before) = before else {
        let note = format!(
            "INSERT INTO {TABLE} (table_name, file_name, fingerprint, rows_written, rows_total) VALUES ('{table}', ?, ?, 0, {total})"
        );
        return match session.run_with(note, &[file, fingerprint]).await {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
            inserted => inserted.map(|_| true),
        };
    };
    let note = format!(
        "UPDATE {TABLE} SET file_name = ?, fingerprint = ?, rows_written = 0, rows_total = {total} \
         WHERE table_name = '{table}' AND fingerprint = ? AND rows_written = {}",
        before.written
    );
    let texts = [file, fingerprint, before.fingerprint.as_str()];
    Ok(session.run_with(note, &texts).await? == 1)
}

/// Notes, within a chunk's transaction, how far it comes. False where another import has come further meanwhile; one that
/// comes later waits for the transaction's end.
pub async fn advance(
    session: &mut Session,
    table: &Table,
    fingerprint: &str,
    from: u64,
    to: u64,
) -> Result<bool, sqlx::Error> {
    let note = format!(
        "UPDATE {TABLE} SET rows_written = {to} WHERE table_name = '{}' AND fingerprint = ? AND rows_written = {from}",
        table.name
    );
    Ok(session.run_with(note, &[fingerprint]).await? == 1)
}

/// Forgets about an import that came to its end, unless another has begun since.
pub async fn finish(
    session: &mut Session,
    table: &Table,
    fingerprint: &str,
    total: u64,
) -> Result<(), sqlx::Error> {
    let forget = format!(
        "{} AND fingerprint = ? AND rows_written = {total}",
        abandon(table.name)
    );
    session.run_with(forget, &[fingerprint]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Decision, Entry, ResumeError, TABLE, decide};
    use crate::import::session::Session;
    use crate::store::location::Location;
    use crate::store::table::SEARCHES;
    use std::path::Path;

    fn entry(fingerprint: &str, written: u64) -> Entry {
        Entry {
            file: "searches.csv".to_owned(),
            fingerprint: fingerprint.to_owned(),
            written,
            total: 100,
        }
    }

    #[test]
    fn only_an_empty_table_is_filled_unless_told_otherwise() {
        let decide = |rows, append| decide(&SEARCHES, rows, None, "a", append);
        assert_eq!(decide(0, false), Ok(Decision::Begin));
        assert_eq!(decide(9, true), Ok(Decision::Begin));
        assert_eq!(
            decide(9, false).unwrap_err().to_string(),
            "the table searches has 9 rows already: --append adds to them"
        );
    }

    #[test]
    fn an_interrupted_import_goes_on_from_where_it_stopped() {
        for (rows, written, append, expected) in [
            (40, 40, false, Decision::Continue(40)),
            (140, 40, true, Decision::Continue(40)),
            (100, 100, false, Decision::Continue(100)),
            // Killed before the first chunk was in, in a table with rows or without.
            (0, 0, false, Decision::Begin),
            (9, 0, true, Decision::Begin),
            // Emptied since.
            (0, 40, false, Decision::Begin),
        ] {
            let entry = entry("a", written);
            let decided = decide(&SEARCHES, rows, Some(&entry), "a", append);
            assert_eq!(decided, Ok(expected), "{rows} {written}");
        }
        assert!(matches!(
            decide(&SEARCHES, 9, Some(&entry("a", 0)), "a", false),
            Err(ResumeError::HasRows { .. })
        ));
        assert!(matches!(
            decide(&SEARCHES, 39, Some(&entry("a", 40)), "a", true),
            Err(ResumeError::RowsGone { .. })
        ));
    }

    async fn session(directory: &Path) -> Session {
        let location = Location::Sqlite(directory.join("test.db"));
        Session::write(&location).await.unwrap()
    }

    #[tokio::test]
    async fn the_note_of_an_import_says_how_far_it_came_until_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let (noted, table) = (entry("a", 0), &SEARCHES);
        assert_eq!(super::entry(&mut session, table).await.unwrap(), None);
        assert!(
            super::begin(&mut session, table, None, &noted)
                .await
                .unwrap()
        );
        let known = super::entry(&mut session, table).await.unwrap();
        assert_eq!(known, Some(noted));
        assert!(
            super::advance(&mut session, table, "a", 0, 60)
                .await
                .unwrap()
        );
        // Another one has come further since, or it is another file.
        assert!(
            !super::advance(&mut session, table, "a", 0, 60)
                .await
                .unwrap()
        );
        assert!(
            !super::advance(&mut session, table, "b", 60, 100)
                .await
                .unwrap()
        );
        assert!(
            super::advance(&mut session, table, "a", 60, 100)
                .await
                .unwrap()
        );
        super::finish(&mut session, table, "a", 60).await.unwrap();
        let known = super::entry(&mut session, table).await.unwrap();
        assert_eq!(known, Some(entry("a", 100)));
        super::finish(&mut session, table, "a", 100).await.unwrap();
        assert_eq!(super::entry(&mut session, table).await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_import_does_not_begin_where_another_one_has_begun_or_gone_on() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let (first, second, table) = (entry("a", 0), entry("b", 0), &SEARCHES);
        assert!(
            super::begin(&mut session, table, None, &first)
                .await
                .unwrap()
        );
        assert!(
            !super::begin(&mut session, table, None, &second)
                .await
                .unwrap()
        );
        assert!(
            super::advance(&mut session, table, "a", 0, 60)
                .await
                .unwrap()
        );
        let before = Some(&first);
        assert!(
            !super::begin(&mut session, table, before, &second)
                .await
                .unwrap()
        );
        let before = super::entry(&mut session, table).await.unwrap();
        assert!(
            super::begin(&mut session, table, before.as_ref(), &second)
                .await
                .unwrap()
        );
        let known = super::entry(&mut session, table).await.unwrap();
        assert_eq!(known, Some(second));
    }

    #[tokio::test]
    async fn a_note_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let foreign = format!("CREATE TABLE {TABLE} (of_somebody_else INTEGER)");
        session.run(foreign).await.unwrap();
        assert!(
            super::begin(&mut session, &SEARCHES, None, &entry("a", 0))
                .await
                .is_err()
        );
    }

    #[test]
    fn another_file_waits_for_the_interrupted_one() {
        for append in [false, true] {
            let refused = decide(&SEARCHES, 40, Some(&entry("a", 40)), "b", append);
            assert_eq!(
                refused.unwrap_err().to_string(),
                "the import of another file into searches was interrupted: 40 of 100 rows of searches.csv are in; import that \
                 file, unchanged, to resume, or abandon its other rows: DELETE FROM reckon_import WHERE table_name = 'searches'"
            );
        }
        // That one was complete but for its index.
        let complete = entry("a", 100);
        assert_eq!(
            decide(&SEARCHES, 100, Some(&complete), "b", true),
            Ok(Decision::Begin)
        );
        assert!(decide(&SEARCHES, 100, Some(&complete), "b", false).is_err());
    }
}
