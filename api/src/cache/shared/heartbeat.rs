//! Tracks the latest heartbeat that Redis answered, and when it was sent.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

/// If no heartbeat is answered for this long, the process may miss invalidations: it counts as detached.
pub const DETACHED_AFTER: Duration = Duration::from_secs(1);

/// The last answered heartbeat of the connection, by the monotonic clock.
#[derive(Debug)]
pub struct Heartbeat {
    started: Instant,
    /// Milliseconds from `started` until the latest answered heartbeat was sent; 0: none.
    confirmed: AtomicU64,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            confirmed: AtomicU64::new(0),
        }
    }
}

impl Heartbeat {
    /// The heartbeat sent at `sent` was answered.
    pub fn confirm(&self, sent: Instant) {
        let sent = u64::try_from((sent - self.started).as_millis()).unwrap_or(u64::MAX);
        self.confirmed.store(sent.max(1), SeqCst);
    }

    /// The connection is lost.
    pub fn reset(&self) {
        self.confirmed.store(0, SeqCst);
    }

    /// Time since the latest answered heartbeat was sent. All invalidations before that heartbeat have been received. `None`
    /// without a connection.
    pub fn age(&self) -> Option<Duration> {
        let confirmed = self.confirmed.load(SeqCst);
        let sent = self.started + Duration::from_millis(confirmed);
        (confirmed > 0).then(|| Instant::now().saturating_duration_since(sent))
    }

    /// Whether this process has received all invalidations that were made more than a second ago.
    pub fn is_recent(&self) -> bool {
        self.age().is_some_and(|age| age < DETACHED_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::{DETACHED_AFTER, Heartbeat};
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_counts_for_a_second_from_its_sending() {
        let heartbeat = Heartbeat::default();
        // Before the first heartbeat, the connection does not count as recent.
        assert!(!heartbeat.is_recent());
        for wait in [0, 1, 5000] {
            advance(Duration::from_millis(wait)).await;
            heartbeat.confirm(Instant::now());
            assert!(heartbeat.is_recent());
            advance(DETACHED_AFTER.saturating_sub(Duration::from_millis(1))).await;
            assert!(heartbeat.is_recent());
            // A heartbeat sent at the very beginning counts as sent one millisecond later.
            advance(Duration::from_millis(if wait == 0 { 2 } else { 1 })).await;
            assert!(!heartbeat.is_recent());
        }
        heartbeat.confirm(Instant::now());
        heartbeat.reset();
        assert!(!heartbeat.is_recent());
        assert_eq!(heartbeat.age(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn its_age_is_the_time_since_it_was_sent() {
        let heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.age(), None);
        advance(Duration::from_millis(10)).await;
        let sent = Instant::now();
        advance(Duration::from_millis(70)).await;
        heartbeat.confirm(sent);
        assert_eq!(heartbeat.age(), Some(Duration::from_millis(70)));
        advance(Duration::from_secs(5)).await;
        assert_eq!(heartbeat.age(), Some(Duration::from_millis(5070)));
    }
}
