//! `reckon-api evaluate`: reads both tables once, and prints how good the rankings would have been.

mod expected;
mod report;
mod show;

pub use crate::evaluation::date::day;

use crate::evaluation::{Results, date, evaluate as measure, spread};
use crate::model::{Day, UserId};
use crate::stop::Stop;
use crate::store::location::Location;
use crate::trainer::{self, Database, Window};
use crate::training::{Builder, Dataset};
use anyhow::{Context as _, bail};
use reckon_contract::tables::Tables;
use reckon_contract::tuning::Recommendation;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The options of an evaluation.
#[derive(Debug)]
pub struct Evaluation {
    /// The database.
    pub location: Location,
    /// Where the rows are.
    pub tables: Tables,
    /// The settings of the rankings.
    pub settings: Recommendation,
    /// The cut-offs, which are the first days to predict; empty: chosen by the program.
    pub cut_offs: Vec<Day>,
    /// Whether `searches` is read.
    pub with_searches: bool,
    /// File with expected figures.
    pub check: Option<PathBuf>,
    /// Users whose answers are printed instead of the table.
    pub show: Vec<UserId>,
    /// Maximum number of rows in memory. If there are more rows, users are sampled.
    pub max_rows: usize,
    /// The database ends a statement after this time.
    pub statement_timeout: Duration,
}

/// Prints the table, or the answers of some users.
///
/// # Errors
/// The rows cannot be read, there are too few, or a figure is not the expected one.
pub async fn evaluate(evaluation: Evaluation) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("failed to listen for signals")?;
    let Some(rows) = stop.or(Box::pin(read(&evaluation))).await else {
        bail!("interrupted");
    };
    let (rows, newest) = rows?;
    // If the command is interrupted, it does not wait for the thread.
    let computing = tokio::task::spawn_blocking(move || print(&evaluation, rows, newest));
    match stop.or(computing).await {
        None => bail!("interrupted"),
        Some(Ok(printed)) => printed,
        Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// All rows that are not in the future, and the newest day.
async fn read(evaluation: &Evaluation) -> Result<(Builder, Day), trainer::Error> {
    let started = Instant::now();
    let tables = &evaluation.tables;
    let table = tables.purchases().ok_or(trainer::Error::NoPurchases)?;
    let mut database = Database::open(&evaluation.location, evaluation.statement_timeout).await?;
    database.begin_reading().await?;
    let newest = database.newest_day(&table).await?;
    let newest = newest.ok_or_else(|| trainer::Error::NoRows(table.name.clone()))?;
    let window = Window::newest(newest, u32::MAX);
    let mut rows = Builder::new(evaluation.max_rows).folding(evaluation.settings.fold_categories);
    let mut count = 0_u64;
    database
        .read(&table, tables.user_id, window, |user, time, category| {
            count += 1;
            rows.purchase(user, Some(time), category);
        })
        .await?;
    let searches = tables.searches().filter(|_| evaluation.with_searches);
    if let Some(table) = searches {
        database
            .read(&table, tables.user_id, window, |user, time, category| {
                count += 1;
                rows.search(user, Some(time), category);
            })
            .await?;
    }
    database.end_reading().await?;
    database.close().await;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{count} rows read in {seconds:.1} s");
    Ok((rows, newest))
}

fn print(evaluation: &Evaluation, rows: Builder, newest: Day) -> anyhow::Result<()> {
    let data = rows.finish();
    let oldest = data.oldest_day().unwrap_or(newest);
    let cut_offs = if evaluation.cut_offs.is_empty() {
        spread(oldest, newest)
    } else {
        evaluation.cut_offs.clone()
    };
    let Some(last) = cut_offs.iter().max() else {
        bail!(
            "the data are of {} to {}: expected at least 30 days",
            date::text(oldest),
            date::text(newest)
        );
    };
    if !evaluation.show.is_empty() {
        return show::show(&data, *last, &evaluation.settings, &evaluation.show);
    }
    let results = results(&data, &cut_offs, &evaluation.settings)?;
    print!("{}", report::report(&results, &evaluation.settings.explore));
    match &evaluation.check {
        Some(path) => expected::check(path, &results),
        None => Ok(()),
    }
}

fn results(data: &Dataset, cut_offs: &[Day], settings: &Recommendation) -> anyhow::Result<Results> {
    let started = Instant::now();
    if data.sampled_share() < 1.0 {
        eprintln!("sample: {} of the users", data.sampled_share());
    }
    let done = |day, users| {
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{}: {users} users, after {seconds:.1} s", date::text(day));
    };
    measure(data, cut_offs, settings, done).context("failed to train a model")
}
