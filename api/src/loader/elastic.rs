//! A connection worker of a pool that grows and shrinks: it opens its connection while requests wait, and closes it when it is
//! surplus.
//!
//! A server that refuses a connection beyond the base causes no outage: the jobs wait for the open connections. A missing
//! connection of the base has precedence, so that each process can always serve.

use super::liveness::Liveness;
use super::pauses::{RENEWAL_RETRY_PAUSE, extra_pause, refused_pause};
use super::pool::{Attempt, Begin, Pool};
use super::prober::{ABANDON_AFTER, Availability, BACKOFF};
use super::rotation::CLOSING;
use super::worker::{ConnectionWorker, Open, PING_PERIOD, unusable};
use crate::store::{Connection as _, Error, Reason, Store};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::info;

/// A connection beyond the base is closed after this time without work.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

fn base_pause(reason: Reason, failures: u32) -> Duration {
    if reason == Reason::TooManyConnections {
        refused_pause()
    } else {
        (BACKOFF.0 * 2_u32.saturating_pow(failures.min(10))).min(BACKOFF.1)
    }
}

/// Runs a worker until the queue is closed.
pub async fn run<S: Store>(mut worker: ConnectionWorker<S>, pool: Arc<Pool>) {
    let mut closed = worker.closed.clone();
    let rotation = Arc::clone(&worker.rotation);
    let (queue, liveness): (_, Arc<Liveness>) =
        (Arc::clone(&worker.queue), Arc::clone(&worker.liveness));
    loop {
        if worker.connection.is_none() {
            tokio::select! {
                () = worker.connect_when_needed(&pool) => {}
                _ = closed.wait_for(|closed| *closed) => break,
            }
        }
        if pool.must_give_way() && worker.release(false).await {
            continue;
        }
        let due = worker.due();
        tokio::select! {
            jobs = queue.take(S::USERS_PER_STATEMENT) => match jobs {
                Some(jobs) => worker.serve(jobs).await,
                None => break,
            },
            () = sleep_until(due) => worker.rest().await,
            () = surplus(&pool) => worker.release_unless_needed(&pool).await,
            () = liveness.ping_requested() => worker.prove_alive().await,
            turn = worker.turn(&rotation) => {
                worker.renew(&pool).await;
                drop(turn);
            }
        }
    }
    if let Some(open) = worker.connection.take() {
        open.session.close().await;
    }
}

/// Returns when a connection beyond the base should be closed.
async fn surplus(pool: &Pool) {
    let mut notified = pin!(pool.surplus().notified());
    loop {
        notified.as_mut().enable();
        if pool.has_surplus() {
            return;
        }
        notified.as_mut().await;
        notified.set(pool.surplus().notified());
    }
}

impl<S: Store> ConnectionWorker<S> {
    /// Connects as soon as the pool allows a connection. First waits until the server has ended the previous connection.
    async fn connect_when_needed(&mut self, pool: &Arc<Pool>) {
        if let Some(since) = self.abandoned {
            self.outlived_by_server(since).await;
            self.abandoned = None;
        }
        if self.closing.is_some() {
            sleep(CLOSING).await;
            self.closing = None;
        }
        self.refused = false;
        let mut changed = pin!(pool.changed().notified());
        loop {
            changed.as_mut().enable();
            self.store_is_up().await;
            match pool.begin(self.queue.starving(), Instant::now()) {
                Begin::Now(attempt) => {
                    if self.open(attempt).await {
                        return;
                    }
                    continue;
                }
                Begin::Later(at) => tokio::select! {
                    () = sleep_until(at) => continue,
                    () = changed.as_mut() => {}
                },
                Begin::Wait => changed.as_mut().await,
            }
            changed.set(pool.changed().notified());
        }
    }

    /// Makes the attempt; returns whether it succeeded.
    async fn open(&mut self, attempt: Attempt) -> bool {
        let is_base = attempt.is_base();
        match self.attempt(is_base).await {
            Ok(open) => {
                let (place, refused_since) = attempt.opened();
                self.place = Some(place);
                self.guard = Some(self.connectivity.connected());
                self.connection = Some(open);
                self.rotation.resume();
                if let Some(since) = refused_since {
                    let seconds = since.elapsed().as_secs_f64();
                    info!(seconds, "the database accepts further connections again");
                }
                true
            }
            Err(error) => {
                self.not_opened(attempt, &error);
                false
            }
        }
    }

    fn not_opened(&self, attempt: Attempt, error: &Error) {
        let is_refused = error.reason == Reason::TooManyConnections;
        if is_refused {
            self.metrics.refused.inc();
        }
        if attempt.is_base() {
            self.connectivity.failed(error.reason);
            self.rotation.suspend();
        }
        if attempt.is_base() || !is_refused {
            self.metrics.store_error(error.reason);
            self.poke.notify_one();
        }
        let failures = attempt.failures();
        let pause = if attempt.is_base() {
            base_pause(error.reason, failures)
        } else {
            extra_pause(failures)
        };
        if attempt.failed(is_refused, Instant::now(), pause) {
            info!(
                open = self.metrics.open.get(),
                error = %error.source,
                "the database refuses further connections; requests wait for the open ones"
            );
        }
    }

    /// Attempts to connect, with an own timeout, independent of the deadlines of jobs. The attempt is not dropped
    /// early, because the server may already count the connection.
    async fn attempt(&self, is_base: bool) -> Result<Open<S::Connection>, Error> {
        let store = Arc::clone(&self.store);
        let mut attempt = pin!(store.connect());
        let result = if let Ok(result) = timeout(self.query_timeout, &mut attempt).await {
            result
        } else {
            if is_base {
                self.connectivity.failed(Reason::Timeout);
                self.rotation.suspend();
            }
            let too_late = |_| Err(unusable(Reason::Timeout, "no connection in time"));
            timeout(ABANDON_AFTER, attempt)
                .await
                .unwrap_or_else(too_late)
        };
        result.map(|session| self.opened(session))
    }

    /// When an idle connection should be closed or pinged.
    fn due(&self) -> Instant {
        let open = self.connection.as_ref();
        open.map_or_else(Instant::now, |open| {
            (open.served + IDLE_TIMEOUT).max(open.used + PING_PERIOD)
        })
    }

    /// Closes the connection if it is surplus, else uses it. While the store is down, no connection is closed, because
    /// it could not be replaced.
    async fn rest(&mut self) {
        let is_up = matches!(*self.availability.borrow(), Availability::Up { .. });
        if !(is_up && self.release(true).await) {
            self.ping().await;
        }
    }

    async fn release_unless_needed(&mut self, pool: &Pool) {
        if pool.must_give_way() || self.queue.is_empty() {
            self.release(false).await;
        }
    }

    /// Closes the connection if it is surplus; returns whether it did. `is_idle`: the connection had no work for a long time.
    async fn release(&mut self, is_idle: bool) -> bool {
        match self.place.take().map(|place| place.release(is_idle)) {
            Some(Ok(closing)) => {
                self.closing = Some(closing);
                self.close().await;
                true
            }
            Some(Err(place)) => {
                self.place = Some(place);
                false
            }
            None => false,
        }
    }

    async fn close(&mut self) {
        if let Some(open) = self.connection.take() {
            timeout(CLOSING, open.session.close()).await.ok();
        }
        self.lost();
    }

    /// Replaces an old connection. The new one is opened first. Otherwise the server could refuse it after the old one
    /// is closed.
    async fn renew(&mut self, pool: &Arc<Pool>) {
        if self.release(true).await {
            return;
        }
        let Some(spare) = pool.spare() else {
            return self.close().await;
        };
        let result = self.attempt(false).await;
        let Some(open) = &mut self.connection else {
            return;
        };
        match result {
            Ok(new) => {
                let old = std::mem::replace(open, new);
                timeout(CLOSING, old.session.close()).await.ok();
                sleep(CLOSING).await;
            }
            Err(error) => {
                open.expiry = Instant::now() + RENEWAL_RETRY_PAUSE;
                if error.reason == Reason::TooManyConnections {
                    self.metrics.refused.inc();
                } else {
                    self.metrics.store_error(error.reason);
                }
            }
        }
        drop(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, base_pause};
    use std::time::Duration;

    #[test]
    fn the_pause_before_an_attempt_for_the_base_doubles_up_to_two_seconds() {
        let pauses = [0, 1, 4, 5, 100].map(|failures| base_pause(Reason::Unreachable, failures));
        assert_eq!(
            pauses,
            [100, 200, 1600, 2000, 2000].map(Duration::from_millis)
        );
    }

    #[test]
    fn the_pause_after_a_refusal_is_about_a_second() {
        for failures in [0, 100] {
            let pause = base_pause(Reason::TooManyConnections, failures).as_secs_f64();
            assert!((0.8..=1.2).contains(&pause), "{pause}");
        }
    }
}
