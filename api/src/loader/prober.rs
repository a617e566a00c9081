//! Knows whether the store can be asked: the only judge of it, on a connection of its own.

use crate::metrics::LoaderMetrics;
use crate::store::{Connection, Error, Reason, Scope, Store};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

/// Time between two probes of a store that is up.
const PERIOD: Duration = Duration::from_secs(5);
/// Shortest and longest time between two attempts to reach a store that is down.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// After this time without an answer the connection itself is given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// What we give the server beyond its limit to say that a statement has ended.
pub const GRACE: Duration = Duration::from_millis(500);

/// Whether the store can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not known yet: the first probe is under way.
    Starting,
    /// The probe that began at this time succeeded.
    Up {
        /// When the last successful probe began.
        probed: Instant,
    },
    /// The last probe failed.
    Down(Reason),
}

pub struct Prober<S: Store> {
    pub store: Arc<S>,
    pub timeout: Duration,
    pub poke: Arc<Notify>,
    pub announce: watch::Sender<Availability>,
    pub closed: watch::Receiver<bool>,
    pub metrics: Arc<LoaderMetrics>,
    /// When the one before it panicked. Its probe may still be running on the server.
    pub panicked: Option<Instant>,
}

impl<S: Store> Prober<S> {
    pub async fn run(self) {
        let mut closed = self.closed.clone();
        tokio::select! {
            _ = closed.wait_for(|closed| *closed) => {}
            () = self.probe_for_ever() => {}
        }
    }

    async fn probe_for_ever(&self) {
        let mut connection = None;
        let mut backoff = BACKOFF.0;
        let mut down_since = self.panicked;
        if let Some(panicked) = self.panicked {
            self.announce
                .send_replace(Availability::Down(Reason::Other));
            self.metrics.up.set(0);
            self.metrics.prober_open.set(0);
            sleep_until(panicked + self.store.statement_limit() + GRACE).await;
        }
        loop {
            let probed = Instant::now();
            match self
                .patiently(self.probe(&mut connection), &mut down_since)
                .await
            {
                Ok(()) => {
                    self.report_up(&mut down_since);
                    self.announce.send_replace(Availability::Up { probed });
                    backoff = BACKOFF.0;
                    tokio::select! { () = sleep(PERIOD) => {}, () = self.poke.notified() => {} }
                }
                Err(error) => {
                    if error.scope == Scope::Session {
                        connection = None;
                        self.metrics.prober_open.set(0);
                    }
                    self.report_down(&error, &mut down_since);
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    /// Asks once more on a new session when one that had been idle turns out to be broken: that the server, or somebody
    /// there, ended it says nothing about the store.
    async fn probe(&self, connection: &mut Option<S::Connection>) -> Result<(), Error> {
        let was_idle = connection.is_some();
        match self.probe_once(connection).await {
            Err(error) if error.reason == Reason::Unreachable && was_idle => {
                *connection = None;
                self.metrics.prober_open.set(0);
                self.probe_once(connection).await
            }
            result => result,
        }
    }

    async fn probe_once(&self, connection: &mut Option<S::Connection>) -> Result<(), Error> {
        let session = match connection {
            Some(session) => session,
            None => connection.insert(self.store.connect().await?),
        };
        self.metrics.prober_open.set(1);
        session.probe().await?;
        if *self.announce.borrow() == Availability::Starting {
            info!(store = session.describe(), "store connected");
        }
        Ok(())
    }

    /// Waits for a probe's end; the store counts as down from the deadline on, although the probe may still succeed: an
    /// answer from a server that was frozen comes on the connection that it has already.
    async fn patiently(
        &self,
        probe: impl Future<Output = Result<(), Error>>,
        down_since: &mut Option<Instant>,
    ) -> Result<(), Error> {
        let mut probe = pin!(probe);
        if let Ok(result) = tokio::time::timeout(self.timeout, &mut probe).await {
            return result;
        }
        self.report_down(&unanswered(), down_since);
        tokio::time::timeout(GIVE_UP, probe)
            .await
            .unwrap_or_else(|_| Err(unanswered()))
    }

    fn report_up(&self, down_since: &mut Option<Instant>) {
        if let Some(since) = down_since.take() {
            info!(
                seconds = since.elapsed().as_secs_f64(),
                "store available again"
            );
        }
        self.metrics.up.set(1);
    }

    fn report_down(&self, error: &Error, down_since: &mut Option<Instant>) {
        let known = *self.announce.borrow();
        self.announce.send_replace(Availability::Down(error.reason));
        self.metrics.up.set(0);
        if known != Availability::Down(error.reason) {
            down_since.get_or_insert_with(Instant::now);
            warn!(reason = error.reason.as_str(), error = %error.source, "store unavailable");
        }
    }
}

fn unanswered() -> Error {
    Error {
        reason: Reason::Timeout,
        scope: Scope::Session,
        source: "the store did not answer a probe in time".into(),
    }
}
