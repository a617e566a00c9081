//! Writes checked files: each chunk of rows in a transaction with its journal entry, or all files in one transaction if only
//! the database can decide whether it accepts a row.

use super::error::{ImportError, State};
use super::file::{Checked, Source};
use super::journal::{self, Entry};
use super::progress::Progress;
use super::rows::Row;
use super::session::Session;
use crate::stop::Stop;
use indicatif::HumanCount;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Time for the chunk in progress after a request to stop.
const LAST_CHUNK: Duration = Duration::from_secs(5);
/// Maximum characters of a file's name in the journal.
const NAME: usize = 255;

/// A checked file, and how much of it is imported.
pub struct Part {
    /// The file.
    pub source: Source,
    /// The result of the check.
    pub checked: Checked,
    /// The journal entry of an earlier import into the table.
    pub before: Option<Entry>,
    /// Whether this import resumes the earlier one.
    pub resumes: bool,
    /// Rows that are certainly imported.
    pub written: u64,
    /// Rows that are imported once the open transaction is committed.
    pub reached: u64,
}

impl Part {
    /// How many of the rows are imported.
    pub fn state(&self) -> State {
        State {
            table: self.source.table.name.clone(),
            written: self.written,
            total: self.checked.rows,
        }
    }

    /// A range of its rows, for messages.
    fn rows(from: u64, to: u64) -> String {
        format!("{} to {}", HumanCount(from + 1), HumanCount(to))
    }
}

/// Where transactions end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transactions {
    /// After each chunk.
    Chunks,
    /// After the last row of the last file.
    One,
}

/// Whether all rows are written in one transaction, because an unchecked constraint may reject one of them.
pub fn at_once(parts: &[Part]) -> bool {
    parts
        .iter()
        .any(|part| !part.source.limits.unchecked.is_empty())
}

/// Writes the remaining rows.
pub async fn load(
    session: &mut Session,
    parts: &mut [Part],
    stop: &mut Stop,
) -> Result<(), ImportError> {
    for part in parts.iter().filter(|part| !part.resumes) {
        stop.or(begin(session, part))
            .await
            .ok_or(ImportError::Interrupted)??;
    }
    if !at_once(parts) {
        for part in parts {
            file(session, part, stop, Transactions::Chunks).await?;
        }
        return Ok(());
    }
    session.begin().await.map_err(ImportError::Begin)?;
    for part in parts.iter_mut() {
        file(session, part, stop, Transactions::One).await?;
    }
    commit(session, parts, stop).await
}

async fn begin(session: &mut Session, part: &Part) -> Result<(), ImportError> {
    let path = part.source.path.to_string_lossy();
    let entry = Entry {
        file: path.chars().take(NAME).collect(),
        fingerprint: part.checked.fingerprint.clone(),
        written: 0,
        total: part.checked.rows,
    };
    let table = &part.source.table;
    let is_ours = journal::begin(session, table, part.before.as_ref(), &entry)
        .await
        .map_err(ImportError::Note)?;
    is_ours
        .then_some(())
        .ok_or_else(|| ImportError::Rival(table.name.clone()))
}

/// Writes the remaining rows of a file.
async fn file(
    session: &mut Session,
    part: &mut Part,
    stop: &mut Stop,
    transactions: Transactions,
) -> Result<(), ImportError> {
    let (table, total) = (part.source.table.name.clone(), part.checked.rows);
    let (started, before) = (Instant::now(), part.written);
    if before == total {
        println!("{table}: all rows are in");
        return Ok(());
    }
    let mut progress = Progress::new(table.clone(), "rows", before, total);
    let mut chunks = part.source.chunks(before, &part.checked);
    while let Some(chunk) = stop
        .or(chunks.recv())
        .await
        .ok_or(ImportError::Interrupted)?
    {
        let chunk = chunk.map_err(ImportError::File)?;
        let to = part.reached + chunk.len() as u64;
        let writing = write(session, part, &chunk, transactions);
        let Some((written, interrupted)) = to_its_end(stop, writing).await else {
            return Err(match transactions {
                Transactions::One => ImportError::Interrupted,
                Transactions::Chunks => ImportError::InterruptedInWrite {
                    table,
                    rows: Part::rows(part.reached, to),
                },
            });
        };
        written?;
        part.reached = to;
        if transactions == Transactions::Chunks {
            part.written = to;
        }
        if interrupted {
            return Err(ImportError::Interrupted);
        }
        progress.set(to);
    }
    drop(progress);
    println!("{table}: {}", rate(total - before, started.elapsed()));
    Ok(())
}

/// Writes a chunk and records the progress: both or neither.
async fn write(
    session: &mut Session,
    part: &Part,
    chunk: &[Row],
    transactions: Transactions,
) -> Result<(), ImportError> {
    let (table, from) = (&part.source.table, part.reached);
    let to = from + chunk.len() as u64;
    let failed = |source| ImportError::Write {
        table: table.name.clone(),
        rows: Part::rows(from, to),
        source,
    };
    if transactions == Transactions::Chunks {
        session.begin().await.map_err(failed)?;
    }
    let advanced = journal::advance(session, table, &part.checked.fingerprint, from, to);
    if !advanced.await.map_err(failed)? {
        return Err(ImportError::Rival(table.name.clone()));
    }
    session
        .insert(table, &part.checked.columns, chunk)
        .await
        .map_err(failed)?;
    if transactions == Transactions::Chunks {
        let committed = session.run("COMMIT").await;
        committed.map_err(|source| ImportError::Commit {
            table: table.name.clone(),
            rows: Part::rows(from, to),
            source,
        })?;
    }
    Ok(())
}

/// Commits the transaction of all files.
async fn commit(
    session: &mut Session,
    parts: &mut [Part],
    stop: &mut Stop,
) -> Result<(), ImportError> {
    // Either all rows of both files are imported or none; a message names the table of the last file.
    let Some(last) = parts.last() else {
        return Ok(());
    };
    let (table, rows) = (
        last.source.table.name.clone(),
        Part::rows(last.written, last.reached),
    );
    match to_its_end(stop, session.run("COMMIT")).await {
        None => return Err(ImportError::InterruptedInWrite { table, rows }),
        Some((Err(source), _)) => {
            return Err(ImportError::Commit {
                table,
                rows,
                source,
            });
        }
        Some((Ok(_), interrupted)) => {
            for part in parts {
                part.written = part.reached;
            }
            if interrupted {
                return Err(ImportError::Interrupted);
            }
        }
    }
    Ok(())
}

/// The result of `work`, and whether a stop was requested in the meantime. `None`: a stop was requested, and the work
/// did not end within [`LAST_CHUNK`] after it.
async fn to_its_end<T>(stop: &mut Stop, work: impl Future<Output = T>) -> Option<(T, bool)> {
    let mut work = pin!(work);
    match stop.or(work.as_mut()).await {
        Some(done) => Some((done, false)),
        None => Some((timeout(LAST_CHUNK, work).await.ok()?, true)),
    }
}

fn rate(rows: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let rate = HumanCount((rows as f64 / seconds.max(0.001)) as u64);
    let rows = HumanCount(rows);
    format!("{rows} rows written in {seconds:.1} s ({rate} a second)")
}
