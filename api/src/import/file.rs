//! A file on disk: checked as a whole, then read again in chunks for writing.

use super::columns::{Column, TableLimits};
use super::header::Mapping;
use super::rows::{self, Problem, Row, Rows};
use reckon_contract::tables::Table;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Rows of one transaction.
const CHUNK: usize = 10_000;
/// Maximum number of chunks that wait for the database.
const MAX_WAITING_CHUNKS: usize = 2;
/// Maximum number of problems that are kept and shown.
pub const SHOWN: usize = 20;

/// A file and its target.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The table its rows are for.
    pub table: Table,
    /// The limits of the table.
    pub limits: TableLimits,
    /// Mappings of its column names.
    pub mappings: Vec<Mapping>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("failed to open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It is a directory, a pipe or similar.
    #[error("{0} is not a regular file: it is read twice, so it must be one")]
    NoFile(PathBuf),
    /// It has no rows to read.
    #[error("{0}")]
    Rows(PathBuf, #[source] rows::Error),
    /// When it was read for writing, it differed from the checked file.
    #[error("{0} was changed after it was checked")]
    Changed(PathBuf),
}

/// The result of reading a file completely.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Number of rows.
    pub rows: u64,
    /// A digest of the file's bytes and of its column layout. Files with equal digests have equal rows.
    pub fingerprint: String,
    /// The columns it has.
    pub columns: Vec<Column>,
    /// The columns that it lacks, by their names in the table.
    pub absent: Vec<String>,
    /// Its columns that are not imported.
    pub ignored: Vec<String>,
    /// Whether its times were converted to UTC.
    pub zoned: bool,
    /// Number of times that were cut to the table's precision.
    pub cut_times: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// Number of problems.
    pub problem_count: u64,
}

impl Source {
    /// Reads the whole file; `progress` receives the number of bytes read so far.
    ///
    /// # Errors
    /// The file cannot be read as a table. Invalid values are not an error; they are in [`Checked::problems`].
    pub fn check(&self, progress: impl FnMut(u64)) -> Result<Checked, Error> {
        let mut rows = self.rows(self.watched(progress)?)?;
        let mut checked = Checked::default();
        while let Some(row) = rows.read().map_err(|error| self.failed(error))? {
            match row {
                Ok(_) => checked.rows += 1,
                Err(problems) => {
                    checked.problem_count += problems.len() as u64;
                    let room = SHOWN - checked.problems.len().min(SHOWN);
                    checked.problems.extend(problems.into_iter().take(room));
                }
            }
        }
        let layout = rows.layout();
        checked.columns = layout.columns();
        let absent = layout.absent().into_iter();
        checked.absent = absent
            .filter(|column| self.limits.has(*column))
            .filter_map(|column| column.name(&self.table).map(str::to_owned))
            .collect();
        checked.ignored = layout.ignored().into_iter().map(str::to_owned).collect();
        checked.zoned = rows.zoned();
        checked.cut_times = rows.cut_times();
        checked.fingerprint = fingerprint(rows);
        Ok(checked)
    }

    /// Reads the file again on a separate thread, from the row `skip` on, and compares it with the result of
    /// [`Self::check`]. The last chunk is returned only if the file is unchanged.
    #[must_use]
    pub fn chunks(&self, skip: u64, checked: &Checked) -> mpsc::Receiver<Result<Vec<Row>, Error>> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_CHUNKS);
        let (source, total) = (self.clone(), checked.rows);
        let fingerprint = checked.fingerprint.clone();
        std::thread::spawn(move || {
            if let Err(error) = source.send(skip, total, &fingerprint, &sender) {
                sender.blocking_send(Err(error)).ok();
            }
        });
        receiver
    }

    fn send(
        &self,
        skip: u64,
        total: u64,
        expected: &str,
        sender: &mpsc::Sender<Result<Vec<Row>, Error>>,
    ) -> Result<(), Error> {
        let changed = || Error::Changed(self.path.clone());
        let mut rows = self
            .rows(self.watched(|_| ())?)
            .map_err(|error| match error {
                // The header was valid in the check.
                Error::Rows(_, rows::Error::Read(_)) | Error::Open(..) => error,
                _ => changed(),
            })?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut count = 0;
        while let Some(row) = rows.read().map_err(|error| self.failed(error))? {
            let row = row.map_err(|_| changed())?;
            count += 1;
            if count <= skip {
                continue;
            }
            chunk.push(row);
            // The last chunk is sent only after it is certain that the file is unchanged.
            if chunk.len() == CHUNK && count < total {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
        }
        if count != total || fingerprint(rows) != expected {
            return Err(changed());
        }
        if !chunk.is_empty() {
            sender.blocking_send(Ok(chunk)).ok();
        }
        Ok(())
    }

    fn watched<P: FnMut(u64)>(&self, progress: P) -> Result<Watched<P>, Error> {
        Ok(Watched {
            file: self.open()?,
            digest: Sha256::new(),
            bytes: 0,
            progress,
        })
    }

    fn rows<R: Read>(&self, input: R) -> Result<Rows<R>, Error> {
        Rows::open(input, &self.table, self.limits.clone(), &self.mappings)
            .map_err(|error| self.failed(error))
    }

    fn open(&self) -> Result<File, Error> {
        // The file type is checked first: opening a pipe would block until it has a writer.
        let open = |error| Error::Open(self.path.clone(), error);
        if !is_file(&self.path).map_err(open)? {
            return Err(Error::NoFile(self.path.clone()));
        }
        File::open(&self.path).map_err(open)
    }

    fn failed(&self, error: rows::Error) -> Error {
        Error::Rows(self.path.clone(), error)
    }
}

/// The digest of a completely read file and of its column layout.
fn fingerprint<P: FnMut(u64)>(rows: Rows<Watched<P>>) -> String {
    let layout = rows.layout().to_string();
    let digest = rows.into_input().digest.chain_update(layout).finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

fn is_file(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.is_file())
}

/// A file whose bytes are digested and counted while they are read.
struct Watched<P> {
    file: File,
    digest: Sha256,
    bytes: u64,
    progress: P,
}

impl<P: FnMut(u64)> Read for Watched<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        self.digest.update(&buffer[..length]);
        self.bytes += length as u64;
        (self.progress)(self.bytes);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNK, Checked, Error, Source};
    use crate::import::columns::TableLimits;
    use crate::model::UserId;
    use reckon_contract::tables::Table;
    use std::fmt::Write as _;

    fn source(path: &std::path::Path) -> Source {
        Source {
            path: path.to_owned(),
            table: Table::searches(),
            limits: TableLimits::new_table(),
            mappings: Vec::new(),
        }
    }

    fn file(rows: usize) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("searches.csv");
        let mut text = "id,searched_at\n".to_owned();
        for row in 0..rows {
            writeln!(text, "{row},2025-01-01 00:00:00").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        let source = source(&path);
        (directory, source)
    }

    fn ids(source: &Source, skip: u64, checked: &Checked) -> Result<Vec<UserId>, Error> {
        let mut chunks = source.chunks(skip, checked);
        let mut ids = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk?;
            assert!((1..=CHUNK).contains(&chunk.len()));
            ids.extend(chunk.into_iter().map(|row| row.id));
        }
        Ok(ids)
    }

    #[test]
    fn chunks_begin_at_the_given_offset() {
        for rows in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let (_directory, source) = file(rows);
            let checked = source.check(|_| ()).unwrap();
            let total = checked.rows;
            assert_eq!(total, rows as u64);
            for skip in [0, 1, total / 2, total] {
                let expected = i64::try_from(skip).unwrap()..i64::try_from(total).unwrap();
                let expected: Vec<UserId> = expected.map(UserId::Integer).collect();
                if skip <= total {
                    assert_eq!(ids(&source, skip, &checked).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_file_that_changed_since_it_was_checked_is_rejected() {
        let (_directory, source) = file(CHUNK);
        let checked = source.check(|_| ()).unwrap();
        let text = std::fs::read_to_string(&source.path).unwrap();
        for changed in [
            format!("{text}1,2025-01-01 00:00:00\n"),
            text.rsplit_once("\n9999,").unwrap().0.to_owned(),
            // The changed file has the same number of rows, and all rows are valid.
            text.replacen("\n0,", "\n5,", 1),
            text.replacen("id,searched_at", "id,nothing", 1),
            String::new(),
        ] {
            std::fs::write(&source.path, changed).unwrap();
            let error = ids(&source, 0, &checked).unwrap_err();
            assert!(matches!(error, Error::Changed(_)), "{error}");
        }
        std::fs::write(&source.path, text).unwrap();
        assert_eq!(ids(&source, 0, &checked).unwrap().len(), CHUNK);
    }

    #[test]
    fn files_and_layouts_that_differ_have_different_fingerprints() {
        let (_directory, source) = file(3);
        let (_other_directory, other) = file(4);
        let mapped = Source {
            mappings: vec!["category=searched_at".parse().unwrap()],
            ..source.clone()
        };
        let print = |source: &Source| source.check(|_| ()).unwrap().fingerprint;
        assert_eq!(print(&source), print(&source));
        assert_ne!(print(&source), print(&other));
        assert_ne!(print(&source), print(&mapped));
    }

    #[test]
    fn a_missing_file_and_a_directory_are_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let error = source(directory.path()).check(|_| ()).unwrap_err();
        assert!(matches!(error, Error::NoFile(_)), "{error}");
        let error = source(&directory.path().join("none.csv"))
            .check(|_| ())
            .unwrap_err();
        assert!(matches!(error, Error::Open(..)), "{error}");
    }
}
