//! Follows the new rows of the tables, and invalidates their users in all processes. It only reads.
//!
//! Each process polls both tables over the prober's connection. The first process that reads a new row invalidates its
//! user everywhere, as `POST /invalidate-cache` does. The position is kept in the shared cache. So if rows arrive while
//! no process polls, the next process that starts finds them.

mod followed_table;
mod found;
mod gaps;
mod metrics;
mod pending;
mod sequence;
mod status;
mod timed;

pub use metrics::FreshnessMetrics;
pub use status::{State, Status};

use crate::recommend::Recommender;
use crate::store::new_rows::Followed;
use followed_table::{Clock, FollowedTable};
use pending::Pending;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tracing::warn;

/// Maximum wait for the shared cache at the start. Without the position that it keeps, everything is invalidated.
const SHARED_CACHE_WAIT: Duration = Duration::from_secs(5);
/// Time between two attempts to send an invalidation that the shared cache has not acknowledged.
const RETRY: Duration = Duration::from_millis(500);
/// The position is written to the shared cache at least this often, because an invalidation of everything deletes it
/// there.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// Follows the tables.
pub struct Follower {
    recommender: Arc<Recommender>,
    metrics: Arc<FreshnessMetrics>,
    status: Arc<Status>,
    tuning: Tuning,
    period: Duration,
}

impl Follower {
    /// A follower with the settings of `tuning`; `None`: tables are not polled.
    #[must_use]
    pub fn new(
        recommender: &Arc<Recommender>,
        tuning: &Tuning,
        metrics: &Arc<FreshnessMetrics>,
    ) -> Option<Arc<Self>> {
        let period = tuning.freshness.poll()?;
        Some(Arc::new(Self {
            recommender: Arc::clone(recommender),
            metrics: Arc::clone(metrics),
            status: Arc::new(Status::new(&tuning.tables)),
            tuning: tuning.clone(),
            period,
        }))
    }

    /// How each table is followed.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status)
    }

    /// Polls without end.
    pub async fn run(self: Arc<Self>) {
        let began = Instant::now();
        let clock = || Clock {
            elapsed: began.elapsed(),
            seconds: unix_seconds(),
        };
        let existing = [
            self.tuning.tables.searches(),
            self.tuning.tables.purchases(),
        ];
        let tables = Followed::ALL.into_iter().zip(existing);
        let overlap = self.tuning.freshness.overlap();
        let mut tables: Vec<FollowedTable> = tables
            .filter_map(|(of, table)| Some(FollowedTable::new(of, &table?, overlap)))
            .collect();
        for table in &tables {
            self.metrics.begin(table.of, unix_seconds());
        }
        self.wait_for_shared_cache().await;
        let mut pending = Pending::default();
        let mut kept = Instant::now();
        let mut polls = interval(self.period);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut polled = Vec::new();
        let mut is_first = true;
        loop {
            tokio::select! {
                _ = polls.tick() => {
                    if std::mem::take(&mut is_first) {
                        // Processes that start together should not poll together.
                        polls.reset_after(self.period.mul_f64(fastrand::f64()));
                    }
                    for table in &mut tables {
                        if self.poll(table, &clock, &mut pending).await && !polled.contains(&table.of) {
                            polled.push(table.of);
                        }
                    }
                }
                () = sleep(RETRY), if !pending.is_empty() => {}
            }
            if !pending.flush(&self.recommender).await {
                continue;
            }
            for of in std::mem::take(&mut polled) {
                self.metrics.polled(of, unix_seconds());
            }
            let is_due = kept.elapsed() >= KEEP_EVERY;
            if is_due || tables.iter().any(FollowedTable::has_changed) {
                self.keep(&mut tables, &clock()).await;
                kept = Instant::now();
            }
        }
    }

    /// Polls once; returns whether the poll was completed.
    async fn poll(
        &self,
        table: &mut FollowedTable,
        clock: &impl Fn() -> Clock,
        pending: &mut Pending,
    ) -> bool {
        let began = Instant::now();
        let (found, result) = table.poll(&self.recommender, clock).await;
        self.metrics.found(table.of, &found);
        pending.add(found, &self.recommender);
        self.status.set(table.of, table.state());
        self.metrics
            .set_up(table.of, result.is_ok() && table.state().is_followed());
        match result {
            Ok(()) => {
                self.metrics.seconds.observe(began.elapsed().as_secs_f64());
                table.state().is_followed()
            }
            Err(error) => {
                if self.metrics.failed(table.of) {
                    let (table, reason) = (table.of.as_str(), error.reason.as_str());
                    warn!(table, reason, error = %error.source, "failed to poll for new rows");
                }
                false
            }
        }
    }

    async fn keep(&self, tables: &mut [FollowedTable], clock: &Clock) {
        let positions: Vec<(String, String)> = tables
            .iter_mut()
            .filter_map(|table| table.position(clock))
            .collect();
        if let Some(shared) = self.recommender.shared()
            && !positions.is_empty()
        {
            shared.keep_positions(&positions).await;
        }
    }

    async fn wait_for_shared_cache(&self) {
        let Some(shared) = self.recommender.shared() else {
            return;
        };
        let attached = async {
            while !shared.is_attached() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SHARED_CACHE_WAIT, attached).await.ok();
    }
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
