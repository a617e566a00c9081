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
    /// Becomes `true` at the first success of the store, once the connections that should always be open are there, and stays `true`.
    pub store_seen: watch::Receiver<bool>,
}

impl Readiness {
    /// Latches when `availability` first reports that the store is up, and the connections that should always be open are there.
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
            // An error means that it was complete and stays so, or that the loader has ended, and so has the process.
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
