//! Proves that the server has ended every statement that was sent before a moment.

use super::liveness::Liveness;
use super::prober::{Availability, GRACE};
use crate::store::Reason;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

/// Observes the answers of the server to the prober and the workers.
#[derive(Clone)]
pub struct Proof {
    pub(super) availability: watch::Receiver<Availability>,
    pub(super) poke: Arc<Notify>,
    pub(super) liveness: Arc<Liveness>,
}

impl Proof {
    /// Returns when every statement that was sent before `moment` must have ended. The server ends each statement
    /// within `limit`. So the proof is an answer of the server after `moment`, and another one at least `limit` later.
    /// The caller must not send a statement after `moment`.
    pub async fn outlived(&self, moment: Instant, limit: Duration) {
        sleep_until(moment).await;
        self.poke.notify_one();
        self.answered_after(moment).await;
        sleep(limit + GRACE).await;
        self.poke.notify_one();
        self.answered_after(Instant::now()).await;
    }

    /// Returns when a probe, or a statement of a worker, that began after `moment` has succeeded.
    async fn answered_after(&self, moment: Instant) {
        let mut availability = self.availability.clone();
        let answered =
            |known: &Availability| matches!(known, Availability::Up { probed } if *probed > moment);
        tokio::select! {
            // An error means that the prober has ended, and so has the process.
            _ = availability.wait_for(answered) => {}
            _ = self.liveness.wait_after(moment) => {}
        }
    }

    /// Why the store is down; `None`: it is not.
    #[must_use]
    pub fn down(&self) -> Option<Reason> {
        match *self.availability.borrow() {
            Availability::Down(reason) => Some(reason),
            Availability::Starting | Availability::Up { .. } => None,
        }
    }

    /// Returns when the store is up.
    pub async fn up(&self) {
        let up = |known: &Availability| matches!(known, Availability::Up { .. });
        // An error means that the prober has ended, and so has the process.
        self.availability.clone().wait_for(up).await.ok();
    }

    /// Requests a probe, because the caller observed a sign that the store may be down.
    pub fn suspect(&self) {
        self.poke.notify_one();
    }
}
