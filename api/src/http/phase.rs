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
    /// Becomes `true` when the store has succeeded once and the base connections are open. It stays `true`.
    pub store_seen: watch::Receiver<bool>,
}

impl Readiness {
    /// Latches when `availability` has reported that the store is up, and the base connections are open.
    #[must_use]
    pub fn new(
        phase: watch::Receiver<Phase>,
        mut availability: watch::Receiver<Availability>,
        mut base_is_complete: watch::Receiver<bool>,
    ) -> Self {
        let (latch, store_seen) = watch::channel(false);
        tokio::spawn(async move {
            let up = |known: &Availability| matches!(known, Availability::Up { .. });
            let is_up = availability.wait_for(up).await.is_ok();
            // An error means that the base was complete and stays complete, or that the loader and the process have
            // ended.
            let is_complete = base_is_complete
                .wait_for(|complete| *complete)
                .await
                .is_ok();
            if is_up && is_complete {
                latch.send_replace(true);
            }
        });
        Self { phase, store_seen }
    }
}
