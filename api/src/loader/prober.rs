//! Decides whether the store is up; no other module does. It probes the store over its own connection. Successful
//! statements of workers count too, because the prober's connection can fail while the store is up.

use super::connectivity::Connectivity;
use super::errand::Errand;
use super::limits::{Limits, OpenSession};
use super::liveness::Liveness;
use super::metrics::LoaderMetrics;
use super::pauses::{RENEWAL_RETRY_PAUSE, refused_pause};
use super::pool::{Pool, Role, Seat};
use super::rotation::{CLOSING, Rotation};
use crate::store::{Connection, Error, Reason, Scope, Store};
use crate::trained::{CurrentModel, FollowedModel};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify, mpsc, watch},
    time::{Instant, sleep, sleep_until, timeout},
};
use tracing::{debug, info, warn};

/// Time between two probes of a store that is up.
const PERIOD: Duration = Duration::from_secs(5);
/// Minimum time between the end of a probe and the next one, even if a probe is requested.
const PAUSE: Duration = Duration::from_millis(100);
/// Minimum and maximum time between two attempts to reach a store that is down.
pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Maximum time of an attempt to connect, and of the wait for a probe after its timeout. After this time, the
/// connection is given up.
pub const ABANDON_AFTER: Duration = Duration::from_secs(10);
/// How long to wait after the server's statement limit until a statement has certainly ended.
pub const GRACE: Duration = Duration::from_millis(500);

/// Whether the store is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Not known yet: the first probe is running.
    Starting,
    /// A probe, or a statement of a worker, that began at this time succeeded.
    Up {
        /// When it began.
        probed: Instant,
    },
    /// The last probe failed, and no statement has succeeded since it began.
    Down(Reason),
}

pub struct Prober<S: Store> {
    pub store: Arc<S>,
    pub timeout: Duration,
    pub poke: Arc<Notify>,
    pub announce: watch::Sender<Availability>,
    pub closed: watch::Receiver<bool>,
    pub connectivity: Arc<Connectivity>,
    pub liveness: Arc<Liveness>,
    pub rotation: Arc<Rotation>,
    /// `None`: the number of connections does not depend on the load.
    pub pool: Option<Arc<Pool>>,
    pub limits: Arc<Limits>,
    pub metrics: Arc<LoaderMetrics>,
    /// Follows the model that is published in the store.
    pub models: Option<FollowedModel>,
    /// Statements to run between two probes.
    pub errands: Arc<Mutex<mpsc::Receiver<Errand>>>,
    /// When the previous prober panicked. Its probe may still be running on the server.
    pub panicked: Option<Instant>,
}

/// A session and when it should be replaced.
struct Open<C> {
    session: C,
    expiry: Instant,
    limit: OpenSession,
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
        let mut was_reset = false;
        let mut next_model = Instant::now();
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
                .await_probe(self.probe(&mut connection), &mut down_since)
                .await
            {
                Ok(()) => {
                    self.report_up(probed, &mut down_since);
                    backoff = BACKOFF.0;
                    was_reset = false;
                    if let Some(models) = &self.models
                        && Instant::now() >= next_model
                    {
                        self.read_model(&models.current, &mut connection).await;
                        next_model = Instant::now() + models.period;
                    }
                    sleep(PAUSE).await;
                    self.run_errands(&mut connection, &mut down_since).await;
                }
                Err(error) => {
                    let failed = Instant::now();
                    self.metrics.store_error(error.reason);
                    if error.scope != Scope::Statement {
                        connection = None;
                        self.metrics.prober_open.set(0);
                    }
                    if connection.is_none() {
                        // This also holds after an attempt that got no answer.
                        self.rotation.suspend();
                    }
                    let is_reset = error.scope == Scope::Abandoned;
                    match self.evidence_against(&error, probed).await {
                        Some(began) => {
                            debug!(reason = error.reason.as_str(), error = %error.source, "probe failed, but statements succeed");
                            self.report_up(began, &mut down_since);
                        }
                        // One reset session does not show that the store is down. The next session decides.
                        None if is_reset && !was_reset && self.is_up() => {}
                        None => self.report_down(&error, &mut down_since),
                    }
                    if is_reset {
                        // The server may still be running the probe.
                        sleep_until(failed + self.store.statement_limit() + GRACE).await;
                    } else if self.pool.is_some() && error.reason == Reason::TooManyConnections {
                        sleep(refused_pause()).await;
                    } else {
                        sleep(backoff).await;
                        backoff = (backoff * 2).min(BACKOFF.1);
                    }
                    was_reset = is_reset;
                }
            }
        }
    }

    /// Replaces a broken or old session, and then probes. A session that the server or an administrator closed does not
    /// show that the store is down. A ping detects a broken session. A probe would be unsuitable, because the server
    /// might continue to run it.
    async fn probe(&self, connection: &mut Option<Open<S::Connection>>) -> Result<(), Error> {
        let turn = connection
            .as_ref()
            .and_then(|open| self.rotation.turn_now(open.expiry));
        if turn.is_some() {
            self.renew(connection).await;
        } else if let Some(open) = connection
            && open.session.ping().await.is_err()
        {
            *connection = None;
            self.metrics.prober_open.set(0);
            sleep(CLOSING).await;
        }
        let open = if let Some(open) = connection {
            open
        } else {
            let session = self.store.connect().await;
            self.seat(session.as_ref().err());
            // This happens before the turn ends.
            let session = session.inspect_err(|_| self.rotation.suspend())?;
            self.rotation.resume();
            connection.insert(self.opened(session))
        };
        self.metrics.prober_open.set(1);
        open.session.probe().await?;
        open.limit.observed(open.session.account_limit());
        if *self.announce.borrow() == Availability::Starting {
            info!(store = open.session.describe(), "store connected");
        }
        Ok(())
    }

    fn opened(&self, session: S::Connection) -> Open<S::Connection> {
        Open {
            expiry: self.rotation.expiry(),
            limit: self.limits.opened(session.account_limit()),
            session,
        }
    }

    /// Reports the outcome of an attempt to connect. The connection for probes has precedence over connections beyond
    /// the base.
    fn seat(&self, error: Option<&Error>) {
        let is_refused = error.is_some_and(|error| error.reason == Reason::TooManyConnections);
        if is_refused {
            self.metrics.refused.inc();
        }
        if let Some(pool) = &self.pool {
            let seat = if is_refused {
                Seat::Refused
            } else {
                Seat::Settled
            };
            pool.seat(Role::Prober, seat);
        }
    }

    /// Replaces an old session. If the pool has a free place, the new one is opened first, because the server could
    /// refuse a new connection after the old one is closed. Otherwise the old one is only closed.
    async fn renew(&self, connection: &mut Option<Open<S::Connection>>) {
        let Some(open) = connection else {
            return;
        };
        let spare = self.pool.as_ref().and_then(Pool::spare);
        let old = if spare.is_some() {
            match self.store.connect().await {
                Ok(session) => std::mem::replace(open, self.opened(session)),
                Err(error) => {
                    if error.reason == Reason::TooManyConnections {
                        self.metrics.refused.inc();
                    }
                    open.expiry = Instant::now() + RENEWAL_RETRY_PAUSE;
                    return;
                }
            }
        } else if let Some(open) = connection.take() {
            open
        } else {
            return;
        };
        timeout(CLOSING, old.session.close()).await.ok();
        if connection.is_none() {
            self.metrics.prober_open.set(0);
        }
        sleep(CLOSING).await;
        drop(spare);
    }

    /// Reads a newly published model. A failure does not change the state of the store. The next probe decides.
    async fn read_model(
        &self,
        models: &CurrentModel,
        connection: &mut Option<Open<S::Connection>>,
    ) {
        let Some(open) = connection.as_mut() else {
            return;
        };
        let known = models.digest();
        let reading = open.session.model(known.as_deref());
        let error = match timeout(self.timeout, reading).await {
            Ok(Ok((digest, published))) => return models.take(digest, published),
            Ok(Err(error)) => error,
            Err(_) => unanswered(),
        };
        models.not_read(&*error.source);
        if error.scope != Scope::Statement {
            *connection = None;
            self.metrics.prober_open.set(0);
            // The server may still be running the statement.
            sleep(self.store.statement_limit() + GRACE).await;
        }
    }

    /// Runs errands until the next probe is due.
    async fn run_errands(
        &self,
        connection: &mut Option<Open<S::Connection>>,
        down_since: &mut Option<Instant>,
    ) {
        let mut errands = self.errands.lock().await;
        let mut due = pin!(sleep(PERIOD));
        while let Some(open) = connection {
            let Errand {
                of,
                question,
                reply,
            } = tokio::select! {
                () = &mut due => return,
                () = self.poke.notified() => return,
                Some(errand) = errands.recv() => errand,
            };
            let answering = open.session.new_rows(of, &question);
            let answer = self.await_probe(answering, down_since).await;
            let scope = answer.as_ref().err().map(|error| error.scope);
            if let Err(error) = &answer {
                self.metrics.store_error(error.reason);
            }
            // The follower may have ended.
            reply.send(answer).ok();
            if scope.is_some_and(|scope| scope != Scope::Statement) {
                *connection = None;
                self.metrics.prober_open.set(0);
                // The server may still be running the statement.
                sleep(self.store.statement_limit() + GRACE).await;
            } else if down_since.is_some() {
                return;
            }
        }
    }

    /// Waits for the end of a probe. After the timeout the store counts as down, unless statements of workers succeed.
    /// The probe can still succeed later, because a server that was frozen answers on the connection that it already
    /// has. The same holds for the wait for an errand.
    async fn await_probe<T>(
        &self,
        probe: impl Future<Output = Result<T, Error>>,
        down_since: &mut Option<Instant>,
    ) -> Result<T, Error> {
        let mut probe = pin!(probe);
        let given_up = Instant::now() + self.timeout + ABANDON_AFTER;
        let mut wait = self.timeout;
        while Instant::now() < given_up {
            let round = Instant::now();
            if let Ok(result) = timeout(wait / 2, &mut probe).await {
                return result;
            }
            self.liveness.request_ping();
            if let Ok(result) = timeout(wait / 2, &mut probe).await {
                return result;
            }
            match self.liveness.after(round) {
                Some(began) => self.report_up(began, down_since),
                None => self.report_down(&unanswered(), down_since),
            }
            wait = self.timeout.min(ABANDON_AFTER);
        }
        Err(unanswered())
    }

    /// The time at which a successful statement of a worker began, if it began after the failed probe. If there is one,
    /// perhaps only the prober's session is broken.
    async fn evidence_against(&self, error: &Error, probed: Instant) -> Option<Instant> {
        if error.scope == Scope::Statement {
            return None;
        }
        let recently = Instant::now().checked_sub(self.timeout);
        let since = recently.map_or(probed, |recently| recently.max(probed));
        if let Some(began) = self.liveness.after(since) {
            return Some(began);
        }
        if self.connectivity.is_empty() {
            return None;
        }
        self.liveness.request_ping();
        timeout(self.timeout / 2, self.liveness.wait_after(since))
            .await
            .ok()
    }

    fn is_up(&self) -> bool {
        matches!(*self.announce.borrow(), Availability::Up { .. })
    }

    fn report_up(&self, probed: Instant, down_since: &mut Option<Instant>) {
        if let Some(since) = down_since.take() {
            info!(
                seconds = since.elapsed().as_secs_f64(),
                "store available again"
            );
        }
        self.metrics.up.set(1);
        self.announce.send_replace(Availability::Up { probed });
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
