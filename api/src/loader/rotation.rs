//! Limits the age of connections. So the process moves to the new server when the address resolves to another one. Each
//! connection is replaced between two statements, and only one at a time. While the server accepts no new connections,
//! none is replaced.

use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

/// How long to wait after a connection ended before its replacement is opened. After a client closed a connection, or
/// an administrator killed it, a server still counts it for a moment.
pub const CLOSING: Duration = Duration::from_millis(100);

/// Shared by the prober and all workers.
pub struct Rotation {
    max_age: Duration,
    turn: Semaphore,
    /// Whether no connection is replaced until an attempt to connect succeeds.
    suspended: watch::Sender<bool>,
}

impl Rotation {
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            turn: Semaphore::new(1),
            suspended: watch::Sender::new(false),
        }
    }

    /// An attempt to connect has failed, or the prober has lost its connection. No connection is replaced until an attempt
    /// succeeds. The task that failed retries.
    pub fn suspend(&self) {
        self.suspended.send_replace(true);
    }

    /// An attempt to connect has succeeded.
    pub fn resume(&self) {
        self.suspended.send_replace(false);
    }

    /// When a connection that is opened now should be replaced. The time is up to a fifth below the maximum age, so
    /// that connections that were opened together are not replaced together.
    pub fn expiry(&self) -> Instant {
        Instant::now() + self.max_age.mul_f64(1.0 - 0.2 * fastrand::f64())
    }

    /// Returns when the connection should be replaced, the server accepts new ones, and no other connection is being
    /// replaced. While the permit is held, no other connection is replaced.
    pub async fn turn(&self, expiry: Instant) -> Option<SemaphorePermit<'_>> {
        sleep_until(expiry).await;
        loop {
            let mut suspended = self.suspended.subscribe();
            suspended.wait_for(|suspended| !*suspended).await.ok()?;
            let turn = self.turn.acquire().await.ok()?;
            // The worker that had the turn before may have failed.
            if !*self.suspended.borrow() {
                return Some(turn);
            }
        }
    }

    /// The same without waiting: `None` if it is not yet time, or not this connection's turn.
    pub fn turn_now(&self, expiry: Instant) -> Option<SemaphorePermit<'_>> {
        let turn = self.turn.try_acquire().ok()?;
        let is_time = Instant::now() >= expiry && !*self.suspended.borrow();
        is_time.then_some(turn)
    }
}

#[cfg(test)]
mod tests {
    use super::Rotation;
    use std::time::Duration;
    use tokio::time::{Instant, timeout};

    const AGE: Duration = Duration::from_secs(100);
    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_replaced_in_the_last_fifth_of_its_time() {
        let rotation = Rotation::new(AGE);
        for _ in 0..100 {
            let age = rotation.expiry() - Instant::now();
            assert!(AGE.mul_f64(0.8) <= age && age <= AGE, "{age:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_at_a_time_is_replaced_once_it_is_old() {
        let rotation = Rotation::new(AGE);
        let expiry = Instant::now() + AGE;
        assert!(rotation.turn_now(expiry).is_none());
        let turn = rotation.turn(expiry).await;
        assert_eq!(Instant::now(), expiry);
        assert!(turn.is_some());
        assert!(rotation.turn_now(expiry).is_none());
        assert!(timeout(AGE, rotation.turn(expiry)).await.is_err());
        drop(turn);
        assert!(rotation.turn_now(expiry).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn no_connection_is_replaced_after_a_failed_attempt_until_one_succeeds() {
        let rotation = Rotation::new(AGE);
        let expiry = Instant::now();
        rotation.suspend();
        assert!(rotation.turn_now(expiry).is_none());
        assert!(timeout(AGE, rotation.turn(expiry)).await.is_err());
        rotation.resume();
        assert!(rotation.turn_now(expiry).is_some());
        // The worker that had the turn before has failed.
        let turn = rotation.turn(expiry).await;
        let waiting = rotation.turn(expiry);
        tokio::pin!(waiting);
        assert!(timeout(MOMENT, &mut waiting).await.is_err());
        rotation.suspend();
        drop(turn);
        assert!(timeout(MOMENT, &mut waiting).await.is_err());
        rotation.resume();
        assert!(waiting.await.is_some());
    }
}
