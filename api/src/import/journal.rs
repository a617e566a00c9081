//! The progress of an import, kept in the database itself. A chunk's rows and the new count are written in one
//! transaction. So the count always shows exactly which rows are imported, even after a kill or a power loss.

use super::session::Session;
use reckon_contract::tables::Table;
use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64;

/// One row for each table whose import has begun and not ended. The table stays when it is empty: dropping it could delete
/// the row of an import that has just begun.
const TABLE: &str = "reckon_import";

/// The progress of a file's import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The file's name, for messages.
    pub file: String,
    /// Its [`super::file::Checked::fingerprint`].
    pub fingerprint: String,
    /// Rows that are imported.
    pub written: u64,
    /// Rows of the file.
    pub total: u64,
}

/// What to do with a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing is imported yet.
    Begin,
    /// This many rows are imported.
    Continue(u64),
}

/// Why an import into a table is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    /// Rows of an unknown origin.
    #[error("the table {table} has {rows} rows already: --append adds to them")]
    HasRows {
        /// The table.
        table: String,
        /// Its rows.
        rows: u64,
    },
    /// Another file is partly imported.
    #[error(
        "the import of another file into {table} was interrupted: {written} of {total} rows of {file} are in; import that file, \
         unchanged, to resume, or abandon its other rows: {}",
        abandon(table)
    )]
    OtherFile {
        /// The table.
        table: String,
        /// The file.
        file: String,
        /// Its rows that are imported.
        written: u64,
        /// Its rows.
        total: u64,
    },
    /// Rows were deleted in the meantime.
    #[error(
        "the interrupted import of {file} into {table} had written {written} rows, of which {rows} are left: rows were deleted since, \
         so it cannot be resumed; empty the table to start again"
    )]
    RowsGone {
        /// The table.
        table: String,
        /// The file.
        file: String,
        /// Its rows that were imported.
        written: u64,
        /// The table's rows.
        rows: u64,
    },
}

/// The statement that deletes the journal entry of a table.
pub fn abandon(table: &str) -> String {
    format!("DELETE FROM {TABLE} WHERE table_name = '{}'", key(table))
}

/// The key of a table in the journal: its name if it is short and plain, otherwise a hash of the name. The column has
/// 16 characters, and may not distinguish upper and lower case.
fn key(table: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    if table.len() <= 16 && table.bytes().all(is_plain) {
        table.into()
    } else {
        format!("{:016x}", xxh3_64(table.as_bytes())).into()
    }
}

/// Decides whether to import and where to resume, given the table's number of rows, the entry of an earlier import, and
/// whether the table may already have other rows.
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
    let table = table.name.clone();
    match entry {
        // The table was emptied: an earlier import is obsolete.
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

/// The journal entry of `table`, if there is one.
pub async fn entry(session: &mut Session, table: &Table) -> Result<Option<Entry>, sqlx::Error> {
    if !session.has_table(TABLE).await? {
        return Ok(None);
    }
    let select = format!(
        "SELECT file_name, fingerprint, rows_written, rows_total FROM {TABLE} WHERE table_name = '{}'",
        key(&table.name)
    );
    let row: Option<(String, String, i64, i64)> = session.row(select).await?;
    Ok(row.map(|(file, fingerprint, written, total)| Entry {
        file,
        fingerprint,
        written: written.cast_unsigned(),
        total: total.cast_unsigned(),
    }))
}

/// Records that an import begins, and replaces `before`. Returns false if another import has begun or continued since
/// `before` was read.
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
    let (table, total) = (key(&table.name), entry.total);
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

/// Records the progress within a chunk's transaction. Returns false if another import has recorded progress since then.
/// If another import tries the same now, it waits until this transaction ends.
pub async fn advance(
    session: &mut Session,
    table: &Table,
    fingerprint: &str,
    from: u64,
    to: u64,
) -> Result<bool, sqlx::Error> {
    let note = format!(
        "UPDATE {TABLE} SET rows_written = {to} WHERE table_name = '{}' AND fingerprint = ? AND rows_written = {from}",
        key(&table.name)
    );
    Ok(session.run_with(note, &[fingerprint]).await? == 1)
}

/// Deletes the entry of a completed import, unless another import has begun since then.
pub async fn finish(
    session: &mut Session,
    table: &Table,
    fingerprint: &str,
    total: u64,
) -> Result<(), sqlx::Error> {
    let delete = format!(
        "{} AND fingerprint = ? AND rows_written = {total}",
        abandon(&table.name)
    );
    session.run_with(delete, &[fingerprint]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Decision, Entry, ResumeError, TABLE, decide};
    use crate::import::session::Session;
    use crate::store::location::Location;
    use reckon_contract::tables::{Table, Tables};
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
    fn plain_names_are_kept_and_others_are_hashed() {
        for name in ["searches", "purchase", "order_items"] {
            assert_eq!(super::key(name), name);
        }
        for name in ["Searches", "it's", "a_name_of_17_chars", "größe", "orders2"] {
            let key = super::key(name);
            assert!(key != name && key.len() == 16, "{name}: {key}");
        }
    }

    #[test]
    fn only_an_empty_table_is_filled_by_default() {
        let decide = |rows, append| decide(&Table::searches(), rows, None, "a", append);
        assert_eq!(decide(0, false), Ok(Decision::Begin));
        assert_eq!(decide(9, true), Ok(Decision::Begin));
        assert_eq!(
            decide(9, false).unwrap_err().to_string(),
            "the table searches has 9 rows already: --append adds to them"
        );
    }

    #[test]
    fn an_interrupted_import_resumes_where_it_stopped() {
        for (rows, written, append, expected) in [
            (40, 40, false, Decision::Continue(40)),
            (140, 40, true, Decision::Continue(40)),
            (100, 100, false, Decision::Continue(100)),
            // Killed before the first chunk was imported, in a table with or without rows.
            (0, 0, false, Decision::Begin),
            (9, 0, true, Decision::Begin),
            // The table was emptied since.
            (0, 40, false, Decision::Begin),
        ] {
            let entry = entry("a", written);
            let decided = decide(&Table::searches(), rows, Some(&entry), "a", append);
            assert_eq!(decided, Ok(expected), "{rows} {written}");
        }
        assert!(matches!(
            decide(&Table::searches(), 9, Some(&entry("a", 0)), "a", false),
            Err(ResumeError::HasRows { .. })
        ));
        assert!(matches!(
            decide(&Table::searches(), 39, Some(&entry("a", 40)), "a", true),
            Err(ResumeError::RowsGone { .. })
        ));
    }

    async fn session(directory: &Path) -> Session {
        let location = Location::Sqlite(directory.join("test.db"));
        Session::write(&location, &Tables::default()).await.unwrap()
    }

    #[tokio::test]
    async fn the_journal_has_the_progress_of_an_import_until_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let (noted, table) = (entry("a", 0), &Table::searches());
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
        // Another import has progressed further since then, or imports another file.
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
    async fn an_import_does_not_begin_if_another_one_has_begun_or_progressed() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let (first, second, table) = (entry("a", 0), entry("b", 0), &Table::searches());
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
    async fn a_journal_entry_that_cannot_be_written_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let mut session = session(directory.path()).await;
        let foreign = format!("CREATE TABLE {TABLE} (of_somebody_else INTEGER)");
        session.run(foreign).await.unwrap();
        assert!(
            super::begin(&mut session, &Table::searches(), None, &entry("a", 0))
                .await
                .is_err()
        );
    }

    #[test]
    fn another_file_is_rejected_until_the_interrupted_one_is_complete() {
        for append in [false, true] {
            let refused = decide(&Table::searches(), 40, Some(&entry("a", 40)), "b", append);
            assert_eq!(
                refused.unwrap_err().to_string(),
                "the import of another file into searches was interrupted: 40 of 100 rows of searches.csv are in; import that \
                 file, unchanged, to resume, or abandon its other rows: DELETE FROM reckon_import WHERE table_name = 'searches'"
            );
        }
        // That import was complete except for its index.
        let complete = entry("a", 100);
        assert_eq!(
            decide(&Table::searches(), 100, Some(&complete), "b", true),
            Ok(Decision::Begin)
        );
        assert!(decide(&Table::searches(), 100, Some(&complete), "b", false).is_err());
    }
}
