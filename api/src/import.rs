//! Loads searches and purchases from CSV files. Whole files are checked before the first row is written. An interrupted
//! import resumes where it stopped, without losing or repeating a row.
//!
//! The steps: `target` inspects the tables, and `constraints` the constraints that the check cannot evaluate -> `file`
//! checks the files (`header`, `rows`, `time`, `columns`: pure) -> `journal` decides where to resume -> `load` writes
//! chunks of rows, each in a transaction with its `journal` entry, or all in one transaction if constraints may reject
//! a row -> indexes. `error` has the message after a failure: which rows are imported, and what to do.

pub(crate) mod columns;
mod constraints;
mod error;
mod file;
pub(crate) mod header;
mod journal;
mod load;
mod progress;
pub(crate) mod rows;
mod session;
mod target;
pub(crate) mod time;

use crate::cache::generation::Invalidation;
use crate::cache::shared::{Address, Identity, SharedCache, SharedMetrics};
use crate::error_line::error_line;
use crate::stop::Stop;
use crate::store::location::Location;
use crate::store::{mysql::migrate, sqlite};
use crate::supervise::Supervisor;
use anyhow::{Context as _, bail};
use columns::Times;
use error::State;
use file::{Checked, Source};
use header::Mapping;
use indicatif::HumanCount;
use journal::Decision;
use load::Part;
use progress::Progress;
use prometheus_client::registry::Registry;
use reckon_contract::tables::{Table, Tables};
use reckon_contract::{Tuning, network::HTTP_PORT};
use session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// Maximum wait for the shared cache to acknowledge the invalidation.
const INVALIDATION_TIMEOUT: Duration = Duration::from_secs(10);

/// The files and the target of an import.
pub struct Import {
    /// File for the table of searches.
    pub searches: Option<PathBuf>,
    /// File for the table of purchases.
    pub purchases: Option<PathBuf>,
    /// Names of columns in the files, if they differ from the names in the table.
    pub mappings: Vec<Mapping>,
    /// Whether to add to tables that already have rows.
    pub append: bool,
    /// The target database.
    pub location: Location,
    /// The settings; only `tables` is used.
    pub tuning: Tuning,
    /// The shared cache in which everything is invalidated after the import.
    pub shared_cache: Option<Address>,
    /// Name under which processes share it; by default derived from the location.
    pub identity: Option<String>,
}

/// Loads the files.
///
/// # Errors
/// A file, a value or a table is invalid, and nothing was written; or the import was interrupted, and the message names
/// the imported rows.
pub async fn import(import: Import) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("failed to listen for signals")?;
    let Some(prepared) = stop.or(prepare(&import)).await else {
        bail!("interrupted; nothing was written");
    };
    let mut parts = prepared?;
    let Some(session) = stop
        .or(Session::write(&import.location, &import.tuning.tables))
        .await
    else {
        bail!("interrupted; no row was written");
    };
    let mut session = session?;
    if let Err(halt) = load::load(&mut session, &mut parts, &mut stop).await {
        let states: Vec<State> = parts.iter().map(Part::state).collect();
        let advice = halt.advice(&states);
        bail!("{}; {advice}", error_line(&halt));
    }
    let Some(finished) = stop.or(finish(session, &import, &parts)).await else {
        bail!(
            "interrupted while the indexes were created; all rows are in; rerun the same command to create them"
        );
    };
    finished.map_err(|error| {
        let remedy = if error::may_pass(error.as_ref()) {
            "rerun the same command to create them"
        } else {
            "correct the cause, then rerun the same command to create them"
        };
        error.context(format!(
            "all rows are in, but not all indexes exist; {remedy}"
        ))
    })?;
    let Some(redis) = import.shared_cache else {
        println!(
            "invalidate the caches of running processes: curl -X POST http://127.0.0.1:{HTTP_PORT}/invalidate-cache/all"
        );
        return Ok(());
    };
    let name = import.identity.as_deref();
    let identity = Identity::new(name, &import.location.name(), &import.tuning);
    let Some(invalidated) = stop.or(invalidate_all(redis, identity)).await else {
        bail!(
            "interrupted; all rows are in, but the shared cache did not acknowledge the invalidation: \
             POST /invalidate-cache/all"
        );
    };
    invalidated
}

/// Invalidates everything in the shared cache, and so in every process that uses it.
async fn invalidate_all(redis: Address, identity: Identity) -> anyhow::Result<()> {
    let tuning = Tuning::default();
    let mut registry = Registry::default();
    let tasks = Arc::new(Supervisor::new(&mut registry));
    let metrics = Arc::new(SharedMetrics::new(&mut registry, tasks));
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
    timeout(INVALIDATION_TIMEOUT, confirmed).await.with_context(|| {
        let reason = cache.unavailable_reason().unwrap_or("no answer");
        format!(
            "all rows are in, but the shared cache did not acknowledge the invalidation ({reason}): \
             POST /invalidate-cache/all"
        )
    })?;
    cache.close();
    println!("the shared cache and the caches of the processes that use it are invalidated");
    Ok(())
}

/// Inspects the tables, checks the files, and decides where to resume; writes nothing.
async fn prepare(import: &Import) -> anyhow::Result<Vec<Part>> {
    let sources = sources(import)?;
    let mut founds = Vec::new();
    let ids = import.tuning.tables.user_id;
    for (table, _) in &sources {
        let found = target::look(&import.location, table, ids, import.append).await?;
        // This is known before the file is read, so there is no need to read it.
        if found.entry.is_none() {
            journal::decide(table, found.rows, None, "", import.append)?;
        }
        founds.push(found);
    }
    let mut parts = Vec::new();
    for ((table, path), found) in sources.into_iter().zip(&founds) {
        let source = Source {
            path,
            table,
            limits: found.limits.clone(),
            mappings: import.mappings.clone(),
        };
        let checked = check(source.clone()).await?;
        parts.push(Part {
            source,
            checked,
            before: found.entry.clone(),
            resumes: false,
            written: 0,
            reached: 0,
        });
    }
    refuse_wrong_values(&parts)?;
    for (part, found) in parts.iter_mut().zip(founds) {
        let (table, entry) = (&part.source.table, found.entry.as_ref());
        let fingerprint = &part.checked.fingerprint;
        match journal::decide(table, found.rows, entry, fingerprint, import.append)? {
            Decision::Begin => {}
            Decision::Continue(written) => {
                (part.resumes, part.written, part.reached) = (true, written, written);
            }
        }
        describe(part);
    }
    if load::at_once(&parts) {
        println!(
            "all rows are written in one transaction: none is in until all are, and an interrupted import starts again"
        );
    }
    Ok(parts)
}

/// The files and their tables.
fn sources(import: &Import) -> anyhow::Result<Vec<(Table, PathBuf)>> {
    let tables = &import.tuning.tables;
    for mapping in &import.mappings {
        let checked = mapping.check(&tables.existing());
        checked.with_context(|| format!("invalid --map {}={}", mapping.column, mapping.header))?;
    }
    let given = [
        (tables.searches(), "searches", &import.searches),
        (tables.purchases(), "purchases", &import.purchases),
    ];
    let mut sources: Vec<(Table, PathBuf)> = Vec::new();
    for (table, option, path) in given {
        match (table, path) {
            (None, Some(_)) => bail!(
                "--{option}: there is no such table, because tables.{option}.table is empty in the tuning file"
            ),
            (Some(table), Some(path)) => {
                if sources.iter().any(|(other, _)| other.name == table.name) {
                    bail!(
                        "--searches and --purchases: both are for the table {}; import one file after the other, with --append",
                        table.name
                    );
                }
                sources.push((table, path.clone()));
            }
            (Some(table), None) if import.mappings.iter().any(|it| it.names(&table)) => {
                bail!("--map is about {}, and there is no --{option}", table.name)
            }
            (_, None) => {}
        }
    }
    Ok(sources)
}

/// Checks a file on a separate thread. If the import is interrupted, it does not wait for this thread.
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

/// Reports invalid values in the files, if there are any.
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
        rest => format!(" ({} not shown)", HumanCount(rest)),
    };
    bail!(
        "invalid values: {}{rest}; nothing was written",
        HumanCount(count)
    );
}

/// Prints what will be done with a file.
fn describe(part: &Part) {
    let Part {
        source, checked, ..
    } = part;
    let (file, table) = (source.path.display(), &source.table.name);
    println!(
        "{file}: {} rows for the table {table}, all valid",
        HumanCount(checked.rows)
    );
    let notes = [
        (!checked.ignored.is_empty()).then(|| format!("ignored: {}", checked.ignored.join(", "))),
        (!checked.absent.is_empty())
            .then(|| format!("left to the table's default: {}", checked.absent.join(", "))),
        zone(checked.zoned, source.limits.times),
        (checked.cut_times > 0).then(|| {
            let times = HumanCount(checked.cut_times);
            let lost = match source.limits.times {
                Times::Date => "their time of day",
                Times::DateTime(_) | Times::Timestamp(_) => "digits of their fraction",
            };
            format!("{times} times lose {lost}, which the table's column does not hold")
        }),
        (!source.limits.unchecked.is_empty()).then(|| {
            let unchecked = source.limits.unchecked.join(", ");
            format!("only the database can evaluate {unchecked}")
        }),
        part.resumes.then(|| {
            format!(
                "resuming after the {} rows that are in",
                HumanCount(part.written)
            )
        }),
    ];
    for note in notes.into_iter().flatten() {
        println!("{file}: {note}");
    }
}

/// How time zones in the file are handled.
fn zone(zoned: bool, times: Times) -> Option<String> {
    match (zoned, times) {
        (true, _) => Some("its times say their zone and are written as UTC".to_owned()),
        (false, Times::Timestamp(_)) => Some(
            "its times say no zone and are taken as UTC, since the table's column is a TIMESTAMP"
                .to_owned(),
        ),
        (false, Times::DateTime(_) | Times::Date) => None,
    }
}

/// Creates the indexes, and deletes the journal entries.
async fn finish(session: Session, import: &Import, parts: &[Part]) -> anyhow::Result<()> {
    let mut session = session;
    let tables: &Tables = &import.tuning.tables;
    match (&mut session, &import.location) {
        (Session::Sqlite(session), _) => {
            let views = sqlite::create_indexes(session, tables)
                .await
                .context("failed to create the indexes")?;
            for view in views {
                println!("{view}");
            }
            println!("indexes created");
        }
        (Session::MySql(_), Location::MySql(address)) => {
            migrate::migrate(address, tables, |line| println!("{line}")).await?;
        }
        (Session::MySql(_), Location::Sqlite(_)) => {}
    }
    for Part {
        source, checked, ..
    } in parts
    {
        journal::finish(
            &mut session,
            &source.table,
            &checked.fingerprint,
            checked.rows,
        )
        .await
        .context("failed to remove the note of how far the import is")?;
    }
    session.close().await;
    Ok(())
}
