//! The greatest age of connections: each is replaced between two statements, one at a time, so that the process follows
//! when the address leads to another server.

use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until};

/// A server counts a connection for a moment after its client has closed it, or after it has been killed; nobody opens
/// another one before.
pub const CLOSING: Duration = Duration::from_millis(100);

/// Shared by the prober and all slots.
pub struct Rotation {
    max_age: Duration,
    turn: Semaphore,
}

impl Rotation {
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            turn: Semaphore::new(1),
        }
    }

    /// When a connection that is opened now is to be replaced: up to a fifth before the greatest age, so that connections
    /// that were opened together are not replaced together.
    pub fn expiry(&self) -> Instant {
        Instant::now() + self.max_age.mul_f64(1.0 - 0.2 * fastrand::f64())
    }

    /// Ends when a connection is to be replaced and no other one is being replaced, for as long as the turn is held.
    pub async fn turn(&self, expiry: Instant) -> Option<SemaphorePermit<'_>> {
        sleep_until(expiry).await;
        self.turn.acquire().await.ok()
    }

    /// The same without waiting: `None` if it is not the time, or not the connection's turn.
    pub fn turn_now(&self, expiry: Instant) -> Option<SemaphorePermit<'_>> {
        if Instant::now() < expiry {
            return None;
        }
        self.turn.try_acquire().ok()
    }
}
