//! A file on disk: checked as a whole, then read again in chunks for writing.

use super::columns::{Column, Holds};
use super::header::Mapping;
use super::rows::{self, Problem, Row, Rows};
use crate::store::table::Table;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Rows of one transaction.
const CHUNK: usize = 10_000;
/// Chunks that wait for the database.
const AHEAD: usize = 2;
/// Problems that are kept to be shown.
pub const SHOWN: usize = 20;

/// A file and what is to become of it.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub path: PathBuf,
    /// The table its rows are for.
    pub table: &'static Table,
    /// What the table holds.
    pub holds: Holds,
    /// The names of its columns.
    pub mappings: Vec<Mapping>,
}

/// Why a file cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be opened.
    #[error("failed to open {0}")]
    Open(PathBuf, #[source] io::Error),
    /// It is a directory, a pipe or the like.
    #[error("{0} is no file: it is read twice, so that it must be one")]
    NoFile(PathBuf),
    /// It has no rows to read.
    #[error("{0}")]
    Rows(PathBuf, #[source] rows::Error),
    /// It was right a moment ago.
    #[error("{0} was changed while it was read")]
    Changed(PathBuf),
}

/// What is known of a file that was read to its end.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Its rows.
    pub rows: u64,
    /// A digest of its bytes and of which field is which column: with it equal, the rows are.
    pub fingerprint: String,
    /// The columns it has.
    pub columns: Vec<Column>,
    /// The columns it has not, by their names in the table.
    pub absent: Vec<&'static str>,
    /// Its columns that nobody reads.
    pub ignored: Vec<String>,
    /// Whether its times were turned into UTC.
    pub zoned: bool,
    /// Times whose fraction the table does not hold.
    pub cut_times: u64,
    /// The first of what is wrong.
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
}

impl Source {
    /// Reads the whole file; `progress` gets the bytes read so far.
    ///
    /// # Errors
    /// It cannot be read as a table at all; values that are not right are in [`Checked::problems`].
    pub fn check(&self, progress: impl FnMut(u64)) -> Result<Checked, Error> {
        let input = Watched {
            file: self.open()?,
            digest: Sha256::new(),
            bytes: 0,
            progress,
        };
        let mut rows = self.rows(input)?;
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
            .filter(|column| self.holds.has(*column))
            .map(|column| column.name(self.table))
            .collect();
        checked.ignored = layout.ignored().into_iter().map(str::to_owned).collect();
        checked.zoned = rows.zoned();
        checked.cut_times = rows.cut_times();
        let layout = layout.to_string();
        let digest = rows.into_input().digest.chain_update(layout).finalize();
        checked.fingerprint = digest.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes any text");
            text
        });
        Ok(checked)
    }

    /// Reads the file again on a thread of its own, from the row `skip` on: `total` rows as [`Self::check`] counted them.
    #[must_use]
    pub fn chunks(&self, skip: u64, total: u64) -> mpsc::Receiver<Result<Vec<Row>, Error>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let source = self.clone();
        std::thread::spawn(move || {
            if let Err(error) = source.send(skip, total, &sender) {
                sender.blocking_send(Err(error)).ok();
            }
        });
        receiver
    }

    fn send(
        &self,
        skip: u64,
        total: u64,
        sender: &mpsc::Sender<Result<Vec<Row>, Error>>,
    ) -> Result<(), Error> {
        let changed = || Error::Changed(self.path.clone());
        let mut rows = self.rows(self.open()?)?;
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut count = 0;
        while let Some(row) = rows.read().map_err(|error| self.failed(error))? {
            let row = row.map_err(|_| changed())?;
            count += 1;
            if count <= skip {
                continue;
            }
            chunk.push(row);
            // The last chunk waits until it is certain that no row was added to the file.
            if chunk.len() == CHUNK && count < total {
                let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK));
                if sender.blocking_send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
        }
        if count != total {
            return Err(changed());
        }
        if !chunk.is_empty() {
            sender.blocking_send(Ok(chunk)).ok();
        }
        Ok(())
    }

    fn rows<R: Read>(&self, input: R) -> Result<Rows<R>, Error> {
        Rows::open(input, self.table, self.holds.clone(), &self.mappings)
            .map_err(|error| self.failed(error))
    }

    fn open(&self) -> Result<File, Error> {
        // Looked at first: to open a pipe is to wait for its writer.
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

fn is_file(path: &Path) -> io::Result<bool> {
    Ok(path.metadata()?.is_file())
}

/// A file whose bytes are digested and counted on their way.
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
    use super::{CHUNK, Error, Source};
    use crate::import::columns::Holds;
    use crate::store::table::SEARCHES;
    use std::fmt::Write as _;

    fn source(path: &std::path::Path) -> Source {
        Source {
            path: path.to_owned(),
            table: &SEARCHES,
            holds: Holds::new_table(),
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

    fn ids(source: &Source, skip: u64, total: u64) -> Result<Vec<i64>, Error> {
        let mut chunks = source.chunks(skip, total);
        let mut ids = Vec::new();
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk?;
            assert!((1..=CHUNK).contains(&chunk.len()));
            ids.extend(chunk.iter().map(|row| row.id));
        }
        Ok(ids)
    }

    #[test]
    fn chunks_begin_where_they_are_told() {
        for rows in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK] {
            let (_directory, source) = file(rows);
            let total = source.check(|_| ()).unwrap().rows;
            assert_eq!(total, rows as u64);
            for skip in [0, 1, total / 2, total] {
                let expected: Vec<i64> =
                    (i64::try_from(skip).unwrap()..i64::try_from(total).unwrap()).collect();
                if skip <= total {
                    assert_eq!(ids(&source, skip, total).unwrap(), expected);
                }
            }
        }
    }

    #[test]
    fn a_file_that_changed_since_it_was_checked_is_no_good() {
        let (_directory, source) = file(CHUNK);
        for total in [CHUNK - 1, CHUNK + 1] {
            let error = ids(&source, 0, total as u64).unwrap_err();
            assert!(matches!(error, Error::Changed(_)), "{error}");
        }
    }

    #[test]
    fn a_fingerprint_tells_files_and_layouts_apart() {
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
    fn what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = source(directory.path()).check(|_| ()).unwrap_err();
        assert!(matches!(error, Error::NoFile(_)), "{error}");
        let error = source(&directory.path().join("none.csv"))
            .check(|_| ())
            .unwrap_err();
        assert!(matches!(error, Error::Open(..)), "{error}");
    }
}
