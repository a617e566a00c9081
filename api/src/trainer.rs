//! `reckon-api train`: reads both tables once, trains a model, compares it with the current one, and publishes it.
//!
//! The steps: `target` reads the current model from the place of publication -> `database` (`mysql`, `sqlite`) reads
//! the rows in a `window` of days -> [`crate::training`] (pure) -> `verdict` (pure) compares -> `measurement` evaluates
//! the model that will be current -> `target` publishes. An interrupted training has published nothing.

mod database;
mod error;
mod measurement;
mod mysql;
mod sqlite;
mod target;
mod verdict;
mod window;

pub(crate) use database::Database;
pub use error::Error;
pub use target::Target;
pub(crate) use window::Window;

use crate::evaluation::MIN_USERS;
use crate::stop::Stop;
use crate::store::location::Location;
use crate::trained::{TrainedModel, with_quality};
use crate::training::{self, Builder};
use anyhow::{Context as _, bail};
use reckon_contract::tables::Tables;
use reckon_contract::tuning::Recommendation;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use target::{InForce, Publication};
use tracing::{info, warn};
use verdict::{Verdict, judge};

/// The input of a training, and the target of the model.
#[derive(Debug)]
pub struct Training {
    /// The database.
    pub location: Location,
    /// Where the rows are.
    pub tables: Tables,
    /// The settings with which both models are compared.
    pub settings: Recommendation,
    /// The target of the model.
    pub target: Target,
    /// Number of days that are read, up to the newest purchase.
    pub days: u32,
    /// Maximum number of rows in memory. If there are more rows, users are sampled.
    pub max_rows: usize,
    /// Whether the new model is compared with the current one.
    pub compares: bool,
    /// The database ends a statement after this time.
    pub statement_timeout: Duration,
}

/// Trains a model and publishes it, unless it is worse than the current one.
///
/// # Errors
/// There are no rows to train on, or a step failed. Nothing was published.
pub async fn train(training: Training) -> anyhow::Result<()> {
    let mut stop = Stop::listen().context("failed to listen for signals")?;
    let started = Instant::now();
    let Some(prepared) = stop.or(Box::pin(prepare(&training))).await else {
        bail!("interrupted; nothing was published");
    };
    let Prepared {
        mut database,
        in_force,
        outcome,
    } = prepared?;
    if let Some(publication) = outcome.publication()? {
        let publishing = training
            .target
            .publish(&mut database, &in_force, &publication);
        let Some(published) = stop.or(publishing).await else {
            bail!("interrupted; the model is published as a whole or not at all");
        };
        published?;
        outcome.report(publication.document.len(), started.elapsed());
    }
    database.close().await;
    Ok(())
}

/// The decision of a training, and the session in which it is published.
struct Prepared {
    database: Database,
    in_force: InForce,
    outcome: Outcome,
}

/// The decision of a training.
enum Outcome {
    /// The new model is published.
    New(Box<Trained>),
    /// The new model is worse, so the current one stays. This is its document with newer figures, if there are any.
    Kept(Option<Vec<u8>>),
}

struct Trained {
    model: TrainedModel,
    sampled_share: f64,
}

impl Outcome {
    fn publication(&self) -> anyhow::Result<Option<Publication>> {
        let (document, is_same_model) = match self {
            Self::New(trained) => (trained.model.document(), false),
            Self::Kept(Some(document)) => (document.clone(), true),
            Self::Kept(None) => return Ok(None),
        };
        TrainedModel::parse(&document).context("the trained model is invalid")?;
        Ok(Some(Publication {
            document,
            is_same_model,
        }))
    }

    fn report(&self, bytes: usize, elapsed: Duration) {
        match self {
            Self::New(trained) => info!(
                version = trained.model.version(),
                rows = trained.model.rows(),
                users = trained.model.users(),
                categories = trained.model.categories().len(),
                sampled_share = trained.sampled_share,
                bytes,
                seconds = elapsed.as_secs_f64(),
                peak_memory_bytes = peak_memory_bytes(),
                "model published"
            ),
            Self::Kept(_) => info!("the model in force is published again with newer figures"),
        }
    }
}

/// Reads the rows and trains; publishes nothing.
async fn prepare(training: &Training) -> Result<Prepared, Error> {
    let (location, timeout) = (&training.location, training.statement_timeout);
    let mut database = match training.target {
        Target::Table => Database::open_for_publishing(location, timeout).await?,
        Target::File(_) => Database::open(location, timeout).await?,
    };
    let in_force = training.target.in_force(&mut database).await?;
    let (rows, window) = read(&mut database, training).await?;
    let (settings, compares) = (training.settings.clone(), training.compares);
    let computing = move || {
        let outcome = compute(rows, window, &in_force, &settings, compares);
        (outcome, in_force)
    };
    // If the command is interrupted, it does not wait for the thread.
    let (outcome, in_force) = match tokio::task::spawn_blocking(computing).await {
        Ok(computed) => computed,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok(Prepared {
        database,
        in_force,
        outcome: outcome.map_err(Error::Training)?,
    })
}

/// Reads the rows of the newest days.
async fn read(database: &mut Database, training: &Training) -> Result<(Builder, Window), Error> {
    let started = Instant::now();
    let tables = &training.tables;
    let table = tables.purchases().ok_or(Error::NoPurchases)?;
    database.begin_reading().await?;
    let newest = database.newest_day(&table).await?;
    let newest = newest.ok_or_else(|| Error::NoRows(table.name.clone()))?;
    let window = Window::newest(newest, training.days);
    let mut rows = Builder::new(training.max_rows).folding(training.settings.fold_categories);
    let mut count = 0_u64;
    database
        .read(&table, tables.user_id, window, |user, time, category| {
            count += 1;
            rows.purchase(user, Some(time), category);
        })
        .await?;
    let purchases = count;
    if let Some(table) = tables.searches() {
        database
            .read(&table, tables.user_id, window, |user, time, category| {
                count += 1;
                rows.search(user, Some(time), category);
            })
            .await?;
    }
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

/// Trains a model and decides which model is published. With `compares`, a model that is worse than the current one is
/// not published. The published figures always belong to the model that is then current.
fn compute(
    rows: Builder,
    window: Window,
    in_force: &InForce,
    settings: &Recommendation,
    compares: bool,
) -> Result<Outcome, training::Error> {
    let data = rows.finish();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let created = now.map_or(0, |now| now.as_secs());
    let model = training::train(&data, window.end, created)?;
    let verdict = if compares {
        judge(&data, &model, in_force.model.as_ref(), settings)
    } else {
        Verdict::Skipped
    };
    report(&verdict);
    if let (Verdict::Worse(_), Some(kept)) = (&verdict, &in_force.model) {
        let quality = measurement::of_model(&data, kept, settings);
        let document = quality.and_then(|quality| {
            let written = with_quality(&in_force.document, &quality);
            written
                .inspect_err(|problem| warn!(%problem, "the model in force keeps its figures"))
                .ok()
        });
        return Ok(Outcome::Kept(document));
    }
    let quality = measurement::of_a_training(&data, settings);
    let model = model.with_quality(quality);
    Ok(Outcome::New(Box::new(Trained {
        model: model.map_err(training::Error::Invalid)?,
        sampled_share: data.sampled_share(),
    })))
}

fn report(verdict: &Verdict) {
    match verdict {
        Verdict::Nothing => info!("no model in force to compare with"),
        Verdict::Skipped => info!("not compared with the model in force"),
        Verdict::Unknown => warn!(
            minimum_users = MIN_USERS,
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
