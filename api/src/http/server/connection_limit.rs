//! The connection limit of a port, and the choice of a connection to close for a new one when the limit is reached.
//!
//! A new connection is not rejected as long as an open one is unused. Otherwise a client that opens connections and
//! sends nothing would deny service to all others. The connection that has waited for its client for the longest time
//! is closed, as nginx does when its workers run out of connections. The order: first an incomplete request head, then
//! an idle connection, then a client that reads its response slowly. The new connection is rejected only if every open
//! connection is handling a request.

use super::timeouts::{ConnectionState, Wait};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of the random sample of connections in which the longest wait is searched. Examining all connections would cost
/// too much for each new connection. An order of all connections would cost time for every request.
const SAMPLE_SIZE: usize = 16;

/// The permits of one port, and the connections that hold them. Owned by the accept loop.
pub struct ConnectionLimit {
    permits: Arc<Semaphore>,
    /// Every open connection that was not yet requested to close, and some that have ended.
    open: Vec<Weak<ConnectionState>>,
    most: usize,
}

/// A free permit, or the next one that is released. One will be released, because a connection has been requested to
/// close.
pub enum Admission {
    /// A free permit.
    Free(OwnedSemaphorePermit),
    /// The permit of a connection that is closing. Permits are given in the order of the waiters, so no later
    /// connection gets it.
    Next(BoxFuture<'static, Option<OwnedSemaphorePermit>>),
}

/// A request is being handled on every connection.
#[derive(Debug)]
pub struct LimitReached;

impl ConnectionLimit {
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            permits: Arc::new(Semaphore::new(most)),
            open: Vec::new(),
            most,
        }
    }

    /// A permit for `newcomer`: a free one, or the permit of another connection, which is requested to close.
    pub fn enter(&mut self, newcomer: &Arc<ConnectionState>) -> Result<Admission, LimitReached> {
        let entry = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => Admission::Free(permit),
            Err(_none) => {
                let victim = self.longest_wait().ok_or(LimitReached)?;
                let permits = Arc::clone(&self.permits);
                let mut next = async move { permits.acquire_owned().await.ok() }.boxed();
                // This connection queues at once, before the permit is released.
                let at_once = (&mut next).now_or_never();
                victim.close();
                match at_once.flatten() {
                    Some(permit) => Admission::Free(permit),
                    None => Admission::Next(next),
                }
            }
        };
        if self.open.len() >= 2 * self.most {
            self.open.retain(|state| state.strong_count() > 0);
        }
        self.open.push(Arc::downgrade(newcomer));
        Ok(entry)
    }

    /// Removes, from a sample of connections, the one that has waited for its client for the longest time.
    fn longest_wait(&mut self) -> Option<Arc<ConnectionState>> {
        let mut longest: Option<(Wait, usize)> = None;
        for _ in 0..SAMPLE_SIZE.min(self.open.len()) {
            let at = fastrand::usize(..self.open.len());
            let wait = self.open[at].upgrade().and_then(|state| state.wait());
            if let Some(wait) = wait.filter(|wait| wait.is_long())
                && longest.is_none_or(|(known, _)| wait > known)
            {
                longest = Some((wait, at));
            }
        }
        let (_, at) = longest?;
        self.open.swap_remove(at).upgrade()
    }
}

impl Admission {
    /// The permit, once it is free; `None` if this connection is requested to close before that.
    pub async fn taken(self, state: &ConnectionState) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Free(permit) => Some(permit),
            Self::Next(next) => tokio::select! {
                permit = next => permit,
                () = state.closing() => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Admission, ConnectionLimit};
    use crate::http::server::timeouts::ConnectionState;
    use futures_util::FutureExt;
    use std::sync::Arc;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(1);

    fn enter(limit: &mut ConnectionLimit) -> Option<(Arc<ConnectionState>, Admission)> {
        let state = Arc::new(ConnectionState::new());
        let entry = limit.enter(&state).ok()?;
        Some((state, entry))
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_replaces_one_with_an_incomplete_head_and_waits_for_its_permit() {
        let mut limit = ConnectionLimit::new(8);
        let mut open = Vec::new();
        for number in 0..8 {
            let (state, entry) = enter(&mut limit).unwrap();
            if number > 0 {
                state.request_began();
            }
            open.push((state.clone(), entry.taken(&state).await.unwrap()));
        }
        // Every connection is too young, or handles a request.
        assert!(enter(&mut limit).is_none());
        tokio::time::sleep(LONG).await;
        // A sample may not contain the connection.
        let (newcomer, entry) = loop {
            if let Some(entered) = enter(&mut limit) {
                break entered;
            }
        };
        let half_a_head = open.remove(0);
        half_a_head.0.closing().await;
        let mut taken = std::pin::pin!(entry.taken(&newcomer));
        assert!(futures_util::poll!(taken.as_mut()).is_pending());
        drop(half_a_head);
        let _place = taken.await.unwrap();
        // No connection is requested to close twice.
        assert!(enter(&mut limit).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn new_connections_replace_unused_ones_when_all_permits_are_taken() {
        let mut limit = ConnectionLimit::new(100);
        let mut open = Vec::new();
        for _ in 0..100 {
            let (state, entry) = enter(&mut limit).unwrap();
            open.push((state.clone(), entry.taken(&state).await.unwrap()));
        }
        for round in 0..1000 {
            tokio::time::sleep(LONG).await;
            let (newcomer, entry) = enter(&mut limit).unwrap();
            let asked = open
                .iter()
                .position(|(state, _)| state.closing().now_or_never().is_some());
            drop(open.swap_remove(asked.unwrap()));
            let entry = entry.taken(&newcomer).await.unwrap();
            open.push((newcomer, entry));
            assert_eq!(open.len(), 100, "{round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_connection_gets_the_next_permit() {
        let mut limit = ConnectionLimit::new(1);
        let (half_a_head, entry) = enter(&mut limit).unwrap();
        let held = entry.taken(&half_a_head).await;
        tokio::time::sleep(LONG).await;
        let (first, entry) = enter(&mut limit).unwrap();
        // The old connection ends before the newcomer's task has run, and another newcomer arrives.
        drop((half_a_head, held));
        assert!(enter(&mut limit).is_none());
        assert!(entry.taken(&first).now_or_never().flatten().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_have_ended_are_not_kept() {
        let mut limit = ConnectionLimit::new(10);
        for _ in 0..10_000 {
            let entered = enter(&mut limit).unwrap();
            drop(entered);
        }
        assert!(limit.open.len() <= 20, "{}", limit.open.len());
    }
}
