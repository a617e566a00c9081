//! Loads searches and purchases from CSV files: whole files are checked before a row is written, and an interrupted load
//! goes on where it stopped, without losing or repeating a row.
//!
//! Reads: `target` looks at the tables -> `file` checks the files (`header`, `rows`, `time`, `columns`: pure) -> `journal`
//! decides from where -> chunks of rows, each a transaction with its `journal` entry -> indexes.

pub mod columns;
pub mod file;
pub mod header;
mod journal;
mod progress;
pub mod rows;
mod session;
mod stop;
mod target;
pub mod time;

use crate::args::{Import, Place};
use crate::cache::shared::{Address, Identity, Invalidation, SharedCache};
use crate::metrics::Metrics;
use crate::store::table::{PURCHASE, SEARCHES, Table};
use crate::store::{mysql::migrate, sqlite};
use anyhow::{Context as _, bail};
use file::{Checked, Source};
use journal::{Decision, Entry};
use progress::{Progress, grouped};
use reckon_contract::{Tuning, network::HTTP_PORT, tuning::Recommendation};
use rows::Row;
use session::Session;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};
use stop::Stop;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Longest wait for the shared cache to confirm that it has forgotten.
const FORGET_TIMEOUT: Duration = Duration::from_secs(10);
/// For the chunk that is being written when the end is wanted.
const LAST_CHUNK: Duration = Duration::from_secs(5);
/// Characters of a file's name that are kept.
const NAME: usize = 255;

/// A file that was checked, and how much of it is in.
struct Part {
    source: Source,
    checked: Checked,
    /// What was known of an earlier import into the table.
    before: Option<Entry>,
    /// Whether it goes on with that one.
    goes_on: bool,
    /// Rows that are in.
    written: u64,
}

/// Why the rows are not all in.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("interrupted")]
    Interrupted,
    #[error("interrupted; the database did not answer, so that another {0} rows may be in")]
    InterruptedInChunk(usize),
    #[error("failed to read the file again")]
    File(#[source] file::Error),
    #[error("failed to write rows {first} to {last} of {table}; none of these is in")]
    Write {
        table: &'static str,
        first: String,
        last: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("another import into {0} is at work")]
    Rival(&'static str),
    #[error("failed to note how far the import is")]
    Note(#[source] sqlx::Error),
}

/// Loads the files.
///
/// # Errors
/// A file, a value or a table is not as it must be, and nothing was written; or the load was interrupted, and the message
/// says what is in.
pub async fn import(args: &Import) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("failed to listen for signals")?;
    let place = args.database.place();
    let redis = args.shared_cache.address()?;
    let Some(prepared) = stop.or(prepare(args, &place)).await else {
        bail!("interrupted; nothing was written");
    };
    let mut parts = prepared?;
    let Some(session) = stop.or(Session::write(&place)).await else {
        bail!("interrupted; no row was written");
    };
    let mut session = session?;
    for place in 0..parts.len() {
        if let Err(halt) = load(&mut session, &mut parts[place], &mut stop).await {
            bail!("{:#}; {}", anyhow::Error::new(halt), so_far(&parts));
        }
    }
    let Some(finished) = stop.or(finish(session, &place, &parts)).await else {
        bail!(
            "interrupted while the indexes were made; all rows are in, and the same command again makes the indexes"
        );
    };
    finished
        .context("all rows are in, but not all is done; the same command again does the rest")?;
    let Some(redis) = redis else {
        println!(
            "caches of running processes are told with: curl -X POST http://127.0.0.1:{HTTP_PORT}/invalidate-cache/all"
        );
        return Ok(());
    };
    let name = args.shared_cache.identity.as_deref();
    let identity = Identity::new(name, &place.name(), &Recommendation::default());
    forget_all(redis, identity).await
}

/// Makes every process that shares the cache forget what it knew before the import.
async fn forget_all(redis: Address, identity: Identity) -> anyhow::Result<()> {
    let tuning = Tuning::default();
    let metrics = Metrics::new(&tuning).shared;
    let cache = SharedCache::start(
        redis,
        identity,
        tuning.cache.shared.timeout(),
        metrics,
        |_| (),
    );
    let confirmed = async {
        while cache.invalidate(&Invalidation::All).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(FORGET_TIMEOUT, confirmed).await.with_context(|| {
        let trouble = cache.trouble().unwrap_or("no answer");
        format!(
            "all rows are in, but the shared cache did not confirm that it has forgotten what was there before \
             ({trouble}): POST /invalidate-cache/all"
        )
    })?;
    cache.close();
    println!("the processes that share the cache have forgotten what was there before");
    Ok(())
}

/// Looks at the tables, checks the files, and decides from where to write; writes nothing.
async fn prepare(args: &Import, place: &Place) -> anyhow::Result<Vec<Part>> {
    let sources = sources(args)?;
    let mut founds = Vec::new();
    for (table, _) in &sources {
        let found = target::look(place, table, args.append).await?;
        // Known before the file is: no need to read it first.
        if found.entry.is_none() {
            journal::decide(table, found.rows, None, "", args.append)?;
        }
        founds.push(found);
    }
    let mut parts = Vec::new();
    for ((table, path), found) in sources.into_iter().zip(&founds) {
        let source = Source {
            path,
            table,
            holds: found.holds.clone(),
            mappings: args.mappings.clone(),
        };
        let checked = check(source.clone()).await?;
        parts.push(Part {
            source,
            checked,
            before: found.entry.clone(),
            goes_on: false,
            written: 0,
        });
    }
    refuse_wrong_values(&parts)?;
    for (part, found) in parts.iter_mut().zip(founds) {
        let (table, entry) = (part.source.table, found.entry.as_ref());
        let fingerprint = &part.checked.fingerprint;
        match journal::decide(table, found.rows, entry, fingerprint, args.append)? {
            Decision::Begin => {}
            Decision::Continue(written) => (part.goes_on, part.written) = (true, written),
        }
        describe(part);
    }
    Ok(parts)
}

/// The files and their tables.
fn sources(args: &Import) -> anyhow::Result<Vec<(&'static Table, PathBuf)>> {
    let given = [
        (&SEARCHES, "--searches", &args.searches),
        (&PURCHASE, "--purchases", &args.purchases),
    ];
    let mut sources = Vec::new();
    for (table, flag, path) in given {
        match path {
            Some(path) => sources.push((table, path.clone())),
            None if args.mappings.iter().any(|it| it.table == Some(table.name)) => {
                bail!("--map is about {}, and there is no {flag}", table.name)
            }
            None => {}
        }
    }
    Ok(sources)
}

/// Checks a file on a thread of its own, which an interruption need not wait for.
async fn check(source: Source) -> anyhow::Result<Checked> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let size = source.path.metadata().map_or(0, |data| data.len());
        let mut progress = Progress::new(
            format!("{}: checking", source.path.display()),
            "bytes",
            0,
            size,
        );
        sender.send(source.check(|bytes| progress.set(bytes))).ok();
    });
    Ok(receiver
        .await
        .context("failed to check the file: its thread ended")??)
}

/// Shows what is wrong with the files, if anything is.
fn refuse_wrong_values(parts: &[Part]) -> anyhow::Result<()> {
    let count: u64 = parts.iter().map(|part| part.checked.problem_count).sum();
    if count == 0 {
        return Ok(());
    }
    let problems = parts.iter().flat_map(|part| {
        let file = part.source.path.display();
        let problems = &part.checked.problems;
        problems
            .iter()
            .map(move |problem| format!("{file}, {problem}"))
    });
    for problem in problems.take(file::SHOWN) {
        eprintln!("{problem}");
    }
    let shown = file::SHOWN as u64;
    let rest = match count.saturating_sub(shown) {
        0 => String::new(),
        rest => format!(" ({} more are not shown)", grouped(rest)),
    };
    bail!("{} wrong values{rest}; nothing was written", grouped(count));
}

/// Says what is going to be done with a file.
fn describe(part: &Part) {
    let Part {
        source, checked, ..
    } = part;
    let (file, table) = (source.path.display(), source.table.name);
    println!(
        "{file}: {} rows for the table {table}, all of them right",
        grouped(checked.rows)
    );
    let notes = [
        (!checked.ignored.is_empty()).then(|| format!("ignored: {}", checked.ignored.join(", "))),
        (!checked.absent.is_empty())
            .then(|| format!("left to the table's default: {}", checked.absent.join(", "))),
        checked
            .zoned
            .then(|| "its times say their zone and are written as UTC".to_owned()),
        (checked.cut_times > 0).then(|| {
            let times = grouped(checked.cut_times);
            format!("{times} times lose digits of their fraction, which the table's column does not hold")
        }),
        part.goes_on
            .then(|| format!("going on after the {} rows that are in", grouped(part.written))),
    ];
    for note in notes.into_iter().flatten() {
        println!("{file}: {note}");
    }
}

/// Writes the rows of a file that are not in yet.
async fn load(session: &mut Session, part: &mut Part, stop: &mut Stop) -> Result<(), Halt> {
    let (table, total) = (part.source.table, part.checked.rows);
    if !part.goes_on {
        stop.or(begin(session, part))
            .await
            .ok_or(Halt::Interrupted)??;
    }
    let (started, before) = (Instant::now(), part.written);
    if before == total {
        println!("{}: all rows are in", table.name);
        return Ok(());
    }
    let mut progress = Progress::new(table.name.to_owned(), "rows", before, total);
    let mut chunks = part.source.chunks(before, total);
    while let Some(chunk) = stop.or(chunks.recv()).await.ok_or(Halt::Interrupted)? {
        let chunk = chunk.map_err(Halt::File)?;
        let (written, interrupted) = {
            let mut writing = pin!(write(session, part, &chunk));
            match stop.or(writing.as_mut()).await {
                Some(written) => (written?, false),
                None => match tokio::time::timeout(LAST_CHUNK, writing).await {
                    Ok(written) => (written?, true),
                    Err(_) => return Err(Halt::InterruptedInChunk(chunk.len())),
                },
            }
        };
        part.written = written;
        if interrupted {
            return Err(Halt::Interrupted);
        }
        progress.set(part.written);
    }
    drop(progress);
    println!(
        "{}: {}",
        table.name,
        rate(total - before, started.elapsed())
    );
    Ok(())
}

async fn begin(session: &mut Session, part: &Part) -> Result<(), Halt> {
    let path = part.source.path.to_string_lossy();
    let entry = Entry {
        file: path.chars().take(NAME).collect(),
        fingerprint: part.checked.fingerprint.clone(),
        written: 0,
        total: part.checked.rows,
    };
    let table = part.source.table;
    let is_ours = journal::begin(session, table, part.before.as_ref(), &entry)
        .await
        .map_err(Halt::Note)?;
    is_ours.then_some(()).ok_or(Halt::Rival(table.name))
}

/// Writes a chunk and how far it comes: both or neither. The rows that are in then.
async fn write(session: &mut Session, part: &Part, chunk: &[Row]) -> Result<u64, Halt> {
    let (table, from) = (part.source.table, part.written);
    let to = from + chunk.len() as u64;
    let failed = |source| Halt::Write {
        table: table.name,
        first: grouped(from + 1),
        last: grouped(to),
        source,
    };
    let advance = journal::advance(table, &part.checked.fingerprint, from, to);
    session.begin().await.map_err(failed)?;
    if session.run(advance).await.map_err(failed)? != 1 {
        return Err(Halt::Rival(table.name));
    }
    session
        .insert(table, &part.checked.columns, chunk)
        .await
        .map_err(failed)?;
    session.run("COMMIT").await.map_err(failed)?;
    Ok(to)
}

/// Makes the indexes, and forgets that there was an import.
async fn finish(session: Session, place: &Place, parts: &[Part]) -> anyhow::Result<()> {
    let mut session = session;
    match (&mut session, place) {
        (Session::Sqlite(session), _) => {
            sqlite::create_indexes(session)
                .await
                .context("failed to make the indexes")?;
            println!("indexes made");
        }
        (Session::MySql(_), Place::MySql(address)) => {
            migrate::migrate(address, |line| println!("{line}")).await?;
        }
        (Session::MySql(_), Place::Sqlite(_)) => {}
    }
    let tables: Vec<&Table> = parts.iter().map(|part| part.source.table).collect();
    journal::finish(&mut session, &tables)
        .await
        .context("failed to remove the note of how far the import is")?;
    session.close().await;
    Ok(())
}

/// What is in, and how to go on.
fn so_far(parts: &[Part]) -> String {
    let parts = parts.iter().map(|part| {
        let (written, total) = (grouped(part.written), grouped(part.checked.rows));
        format!(
            "{}: {written} of {total} rows are in",
            part.source.table.name
        )
    });
    let parts = parts.collect::<Vec<_>>().join("; ");
    format!("{parts}; the same command again goes on from there")
}

fn rate(rows: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate for people"
    )]
    let rate = grouped((rows as f64 / seconds.max(0.001)) as u64);
    let rows = grouped(rows);
    format!("{rows} rows written in {seconds:.1} s ({rate} a second)")
}
