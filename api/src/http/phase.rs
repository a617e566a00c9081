//! What the process is doing, and whether it should get traffic.

use crate::loader::Availability;
use tokio::sync::watch;

/// What the process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving what still comes, and asking every client to come back on a new connection.
    Draining,
    /// Accepting nothing, finishing what is under way.
    Stopping,
}

/// Whether the process should get traffic: from the store's first success until the end begins.
#[derive(Clone)]
pub struct Readiness {
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
    /// Latched at the store's first success.
    pub store_seen: watch::Receiver<bool>,
}

impl Readiness {
    /// Latches when `availability` first says that the store is up.
    #[must_use]
    pub fn new(
        phase: watch::Receiver<Phase>,
        mut availability: watch::Receiver<Availability>,
    ) -> Self {
        let (latch, store_seen) = watch::channel(false);
        tokio::spawn(async move {
            let up = |known: &Availability| matches!(known, Availability::Up { .. });
            if availability.wait_for(up).await.is_ok() {
                latch.send_replace(true);
            }
        });
        Self { phase, store_seen }
    }
}
