//! The phase of the process, and whether it is ready for traffic.

use crate::loader::Availability;
use tokio::sync::watch;

/// The phase of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Serving the remaining requests, and telling every client to reconnect.
    Draining,
    /// Accepting no connections, and finishing the requests in flight.
    Stopping,
}

/// Whether the process is ready for traffic: from the store's first success until the shutdown begins.
#[derive(Clone)]
pub struct Readiness {
    /// The phase of the process.
    pub phase: watch::Receiver<Phase>,
    /// Becomes `true` at the first success of the store, and stays `true`.
    pub store_seen: watch::Receiver<bool>,
}

impl Readiness {
    /// Latches when `availability` first reports that the store is up.
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
