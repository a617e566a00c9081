//! `reckon-api train`: reads both tables once, trains a model, compares it with the one in force, and publishes it.
//!
//! The steps: `target` says where the model goes and what is there now -> `database` (`mysql`, `sqlite`) reads the rows in a
//! `window` of days -> [`crate::training`] (pure) -> `verdict` (pure) compares -> `target` publishes. An interrupted
//! training has published nothing.

mod database;
mod error;
mod mysql;
mod sqlite;
mod target;
mod verdict;
mod window;

pub(crate) use database::Database;
pub use error::Error;
pub use target::Target;
pub(crate) use window::Window;

use crate::stop::Stop;
use crate::store::location::Location;
use crate::store::table::{PURCHASE, SEARCHES};
use crate::trained::TrainedModel;
use crate::training::{self, Builder};
use anyhow::{Context as _, bail};
use reckon_contract::tuning::Recommendation;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use target::InForce;
use tracing::{info, warn};
use verdict::{Verdict, judge};

/// What is trained, and where the model goes.
#[derive(Debug)]
pub struct Training {
    /// The database.
    pub location: Location,
    /// The settings with which both models are compared.
    pub settings: Recommendation,
    /// Where the model goes.
    pub target: Target,
    /// Number of days that are read, up to the newest purchase.
    pub days: u32,
    /// Maximum number of rows in memory; beyond, users are sampled.
    pub max_rows: usize,
    /// Whether the model is compared with the one in force.
    pub compares: bool,
    /// The database ends a statement after this time.
    pub statement_timeout: Duration,
}

/// Trains a model and publishes it, unless it is worse than the one in force.
///
/// # Errors
/// There is nothing to train on, or a step failed; nothing was published.
pub async fn train(training: Training) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("failed to listen for signals")?;
    let started = Instant::now();
    let Some(prepared) = stop.or(Box::pin(prepare(&training))).await else {
        bail!("interrupted; nothing was published");
    };
    let Prepared {
        mut database,
        in_force,
        trained,
    } = prepared?;
    let Some(Trained { model, facts }) = trained else {
        database.close().await;
        return Ok(());
    };
    let document = model.document();
    TrainedModel::parse(&document).context("the trained model is invalid")?;
    let publishing = training.target.publish(&mut database, &in_force, &document);
    let Some(published) = stop.or(publishing).await else {
        bail!("interrupted; the model is published as a whole or not at all");
    };
    published?;
    database.close().await;
    info!(
        version = model.version(),
        rows = model.rows(),
        users = model.users(),
        categories = model.categories().len(),
        sampled_share = facts.sampled_share,
        bytes = document.len(),
        seconds = started.elapsed().as_secs_f64(),
        peak_memory_bytes = peak_memory_bytes(),
        "model published"
    );
    Ok(())
}

/// A model, and the session in which it is published.
struct Prepared {
    database: Database,
    in_force: InForce,
    /// `None`: the new model is worse, and is not published.
    trained: Option<Trained>,
}

struct Trained {
    model: TrainedModel,
    facts: Facts,
}

struct Facts {
    sampled_share: f64,
}

/// Reads the rows and trains; publishes nothing.
async fn prepare(training: &Training) -> Result<Prepared, Error> {
    let (location, timeout) = (&training.location, training.statement_timeout);
    let mut database = match training.target {
        Target::Table => Database::open_for_publishing(location, timeout).await?,
        Target::File(_) => Database::open(location, timeout).await?,
    };
    let mut in_force = training.target.in_force(&mut database).await?;
    let (rows, window) = read(&mut database, training).await?;
    let (settings, compares) = (training.settings.clone(), training.compares);
    let old = in_force.model.take();
    let computing = move || compute(rows, window, old.as_ref(), compares.then_some(&settings));
    // An interruption does not wait for the thread.
    let trained = match tokio::task::spawn_blocking(computing).await {
        Ok(trained) => trained.map_err(Error::Training)?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(Prepared {
        database,
        in_force,
        trained,
    })
}

/// Reads the rows of the newest days.
async fn read(database: &mut Database, training: &Training) -> Result<(Builder, Window), Error> {
    let started = Instant::now();
    database.begin_reading().await?;
    let newest = database.newest_day().await?.ok_or(Error::NoRows)?;
    let window = Window::newest(newest, training.days);
    let mut rows = Builder::new(training.max_rows);
    let mut count = 0_u64;
    database
        .read(&PURCHASE, window, |user, time, category| {
            count += 1;
            rows.purchase(user, Some(time), category);
        })
        .await?;
    let purchases = count;
    database
        .read(&SEARCHES, window, |user, time, category| {
            count += 1;
            rows.search(user, Some(time), category);
        })
        .await?;
    database.end_reading().await?;
    info!(
        purchases,
        searches = count - purchases,
        days = training.days,
        seconds = started.elapsed().as_secs_f64(),
        "rows read"
    );
    Ok((rows, window))
}

/// Trains a model, unless it is worse than the one in force. `settings` are those of the comparison; `None`: no comparison.
fn compute(
    rows: Builder,
    window: Window,
    in_force: Option<&TrainedModel>,
    settings: Option<&Recommendation>,
) -> Result<Option<Trained>, training::Error> {
    let data = rows.finish();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let created = now.map_or(0, |now| now.as_secs());
    let model = training::train(&data, window.end, created)?;
    let verdict = match settings {
        None => Verdict::Skipped,
        Some(settings) => judge(&data, &model, in_force, settings),
    };
    report(&verdict);
    if matches!(verdict, Verdict::Worse(_)) {
        return Ok(None);
    }
    let facts = Facts {
        sampled_share: data.sampled_share(),
    };
    Ok(Some(Trained { model, facts }))
}

fn report(verdict: &Verdict) {
    match verdict {
        Verdict::Nothing => info!("no model in force to compare with"),
        Verdict::Skipped => info!("not compared with the model in force"),
        Verdict::Unknown => warn!(
            minimum_users = verdict::MIN_USERS,
            "too few users with purchases in the newest 14 days to compare with the model in force"
        ),
        Verdict::Good(compared) => info!(
            ndcg_new = compared.new.mean,
            ndcg_in_force = compared.old.mean,
            difference_low = compared.difference.low,
            difference_high = compared.difference.high,
            users = compared.users,
            "the new model is not worse than the one in force"
        ),
        Verdict::Worse(compared) => warn!(
            ndcg_new = compared.new.mean,
            ndcg_in_force = compared.old.mean,
            difference_low = compared.difference.low,
            difference_high = compared.difference.high,
            users = compared.users,
            "model not published: it is worse than the one in force on the newest 14 days; --no-gate publishes it anyway"
        ),
    }
}

/// The greatest resident memory of this process so far (Linux).
fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
