//! Proof that the store works: when the latest successful statement began.

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Shared by the prober and all workers.
pub struct Liveness {
    /// The beginning of the latest statement that succeeded.
    latest: watch::Sender<Option<Instant>>,
    question: Notify,
}

impl Liveness {
    pub fn new() -> Self {
        Self {
            latest: watch::channel(None).0,
            question: Notify::new(),
        }
    }

    /// Records that a statement that read both tables, and began at this time, has succeeded.
    pub fn proven(&self, began: Instant) {
        self.latest.send_if_modified(|latest| {
            let is_later = latest.is_none_or(|latest| began > latest);
            if is_later {
                *latest = Some(began);
            }
            is_later
        });
    }

    /// The time at which the latest successful statement began, if it is later than `moment`.
    pub fn after(&self, moment: Instant) -> Option<Instant> {
        self.latest.borrow().filter(|latest| *latest > moment)
    }

    /// Waits for a statement that began later than `moment` and succeeded.
    pub async fn wait_after(&self, moment: Instant) -> Instant {
        let mut latest = self.latest.subscribe();
        loop {
            if let Some(began) = latest.borrow_and_update().filter(|began| *began > moment) {
                return began;
            }
            if latest.changed().await.is_err() {
                // The sender always exists, because it is in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Requests one idle worker to ping its connection.
    pub fn request_ping(&self) {
        self.question.notify_one();
    }

    /// Returns when this worker should ping its connection.
    pub async fn ping_requested(&self) {
        self.question.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::Liveness;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    #[tokio::test(start_paused = true)]
    async fn the_statement_with_the_latest_beginning_counts() {
        let (liveness, early) = (Liveness::new(), Instant::now());
        let late = early + Duration::from_millis(1);
        assert_eq!(liveness.after(early), None);
        liveness.proven(late);
        // This statement began earlier, but took longer.
        liveness.proven(early);
        assert_eq!(liveness.after(early), Some(late));
        assert_eq!(liveness.after(late), None);
        assert_eq!(liveness.wait_after(early).await, late);
        let none = timeout(Duration::from_secs(1), liveness.wait_after(late)).await;
        assert!(none.is_err());
    }
}
