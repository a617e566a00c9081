//! A connection worker: the task that owns one connection. It takes queued users, queries the store and publishes the
//! results.
//!
//! A connection is reused or replaced only when the server has certainly ended its last statement. Otherwise the server
//! would run more statements for this process than the process has workers. So a statement is never cancelled. Even if
//! no request waits for the statement any more, the worker waits for the answer, or for proof that the server has ended
//! the statement. The server's time limit ends a statement; the proof is that the server answers the prober or another
//! worker after this limit. A worker whose connection breaks during a statement waits for the same proof.

use super::connectivity::{ConnectedGuard, Connectivity};
use super::error::LoadError;
use super::limits::{Limits, OpenSession};
use super::liveness::Liveness;
use super::metrics::LoaderMetrics;
use super::pool::{Closing, Place};
use super::prober::{ABANDON_AFTER, Availability, BACKOFF};
use super::proof::Proof;
use super::queue::{Job, Queue};
use super::rotation::{CLOSING, Rotation};
use crate::model::{History, UserId};
use crate::store::{Connection, Error, Reason, Scope, Store};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, SemaphorePermit, watch},
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::debug;

/// Time between two uses of an idle connection, well within the server's `wait_timeout`.
pub const PING_PERIOD: Duration = Duration::from_secs(20);
/// A connection that has been idle for longer is pinged before a statement is sent on it.
const PING_AFTER_IDLE: Duration = Duration::from_millis(10);

pub struct ConnectionWorker<S: Store> {
    pub store: Arc<S>,
    pub queue: Arc<Queue>,
    pub history_length: u32,
    pub query_timeout: Duration,
    pub availability: watch::Receiver<Availability>,
    pub poke: Arc<Notify>,
    pub connectivity: Arc<Connectivity>,
    pub liveness: Arc<Liveness>,
    pub rotation: Arc<Rotation>,
    pub limits: Arc<Limits>,
    pub metrics: Arc<LoaderMetrics>,
    pub closed: watch::Receiver<bool>,
    pub connection: Option<Open<S::Connection>>,
    /// Held as long as there is a connection, including during a statement.
    pub guard: Option<ConnectedGuard>,
    /// The place of the connection in a pool that grows and shrinks; `None` in a pool of a fixed size.
    pub place: Option<Place>,
    /// The place of the previous connection, which the server may still count.
    pub closing: Option<Closing>,
    /// Whether the pool grows and shrinks. In such a pool, a connection is never opened in the middle of a job.
    pub is_elastic: bool,
    /// Whether the last attempt to connect failed.
    pub refused: bool,
    /// When a connection was lost in the middle of a statement, because it broke or because of a panic. The server may
    /// still be running the statement.
    pub abandoned: Option<Instant>,
}

/// A worker's connection between two statements.
pub struct Open<C> {
    pub session: C,
    /// When it should be replaced.
    pub expiry: Instant,
    /// When it was last known to work.
    pub used: Instant,
    /// When it last had work.
    pub served: Instant,
    _limit: OpenSession,
}

impl<S: Store> ConnectionWorker<S> {
    pub async fn run(mut self) {
        let mut closed = self.closed.clone();
        let rotation = Arc::clone(&self.rotation);
        loop {
            if let Some(since) = self.abandoned.take() {
                self.outlived_by_server(since).await;
            }
            if self.refused {
                // Takes no jobs: workers with a connection should get them.
                tokio::select! {
                    () = self.connect_again() => {}
                    _ = closed.wait_for(|closed| *closed) => break,
                }
            }
            let is_open = self.connection.is_some();
            tokio::select! {
                jobs = self.queue.take(S::USERS_PER_STATEMENT) => match jobs {
                    Some(jobs) => self.serve(jobs).await,
                    None => break,
                },
                () = sleep(PING_PERIOD), if is_open => self.ping().await,
                () = self.liveness.ping_requested(), if is_open => self.prove_alive().await,
                turn = self.turn(&rotation), if is_open => self.replace(turn).await,
            }
        }
        if let Some(open) = self.connection.take() {
            open.session.close().await;
        }
    }

    pub async fn serve(&mut self, jobs: Vec<Job>) {
        let metrics = Arc::clone(&self.metrics);
        let _busy = metrics.work();
        match self.read(&jobs).await {
            Ok(histories) => answer(jobs, histories),
            Err(error)
                if error.scope == Scope::Statement
                    && error.reason == Reason::Other
                    && jobs.len() > 1 =>
            {
                self.serve_one_by_one(jobs).await;
            }
            Err(error) => self.refuse(jobs, &error),
        }
    }

    /// Reads the users one by one. A user whose rows cannot be read then delays the others, but does not make them fail.
    async fn serve_one_by_one(&mut self, jobs: Vec<Job>) {
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            let one = vec![job];
            match self.read(&one).await {
                Ok(histories) => answer(one, histories),
                Err(error) if error.scope == Scope::Statement => fail(one, &error),
                Err(error) => {
                    let rest = one.into_iter().chain(jobs).collect();
                    return self.refuse(rest, &error);
                }
            }
        }
    }

    /// Requeues jobs that another worker or connection can serve. The other jobs fail with the error.
    fn refuse(&self, jobs: Vec<Job>, error: &Error) {
        let has_others = match (error.reason, error.scope) {
            _ if self.refused => self.connectivity.unavailable_reason().is_none(),
            // This worker may serve them too, on a new connection.
            (Reason::Unreachable, Scope::Session) => true,
            (_, Scope::Abandoned) => !self.connectivity.is_empty(),
            _ => false,
        };
        let (mut again, failed): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| has_others && (self.refused || !job.is_repeated));
        if !self.refused {
            // Each job is requeued only once. Otherwise a statement that breaks its connection would break the
            // connections of all workers in turn.
            for job in &mut again {
                job.is_repeated = true;
            }
        }
        if !again.is_empty() {
            self.queue.give_back(again);
        }
        fail(failed, error);
    }

    async fn read(&mut self, jobs: &[Job]) -> Result<Vec<History>, Error> {
        let users: Vec<UserId> = jobs.iter().map(|job| job.user.clone()).collect();
        let deadline = jobs.iter().map(|job| job.deadline).max();
        self.read_once(&users, deadline.unwrap_or_else(Instant::now)).await.inspect_err(|error| {
            debug!(users = users.len(), reason = error.reason.as_str(), error = %error.source, "statement failed");
            self.metrics.store_error(error.reason);
            self.poke.notify_one();
        })
    }

    async fn read_once(
        &mut self,
        users: &[UserId],
        deadline: Instant,
    ) -> Result<Vec<History>, Error> {
        let mut open = self.connected(deadline).await?;
        let began = Instant::now();
        if began >= deadline {
            self.connection = Some(open);
            return Err(Error {
                scope: Scope::Statement,
                ..unusable(Reason::Timeout, "no request waits for the answer any more")
            });
        }
        let histories = open.session.histories(users, self.history_length);
        let result = self.unless_abandoned(histories, deadline).await;
        let result = result.and_then(|histories| complete(histories, users.len()));
        self.metrics
            .statement_seconds
            .observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a handful of users")]
        self.metrics.batch_users.observe(users.len() as f64);
        if result.is_ok() {
            self.liveness.proven(began);
        }
        open.served = Instant::now();
        self.keep_unless_lost(open, &result);
        result
    }

    /// Takes the worker's connection, or opens a new one. Before it opens one, it waits for the end of the first probe, until
    /// `deadline` at the latest. While the store is down, it returns an error at once.
    async fn connected(&mut self, deadline: Instant) -> Result<Open<S::Connection>, Error> {
        if let Some(open) = self.connection.take() {
            match self.unless_broken(open, deadline).await {
                Err(error) if error.reason == Reason::Unreachable => {
                    if self.is_elastic {
                        // The jobs are not marked as repeated: no statement was sent.
                        self.refused = true;
                        return Err(error);
                    }
                    sleep(CLOSING).await;
                }
                result => return result,
            }
        }
        let known = self
            .availability
            .wait_for(|known| *known != Availability::Starting);
        let known = match timeout_at(deadline, known).await {
            Ok(Ok(known)) => *known,
            Ok(Err(_)) | Err(_) => Availability::Starting,
        };
        if let Availability::Down(reason) = known {
            return Err(unusable(reason, "the store is down"));
        }
        self.connect().await
    }

    /// The connection, unless the server has closed it in the meantime. A ping tests it. A statement is not suitable as
    /// the test: after a broken connection, it would be unknown whether the server still runs the statement.
    async fn unless_broken(
        &mut self,
        mut open: Open<S::Connection>,
        deadline: Instant,
    ) -> Result<Open<S::Connection>, Error> {
        if open.used.elapsed() < PING_AFTER_IDLE {
            return Ok(open);
        }
        let result = self.unless_abandoned(open.session.ping(), deadline).await;
        if result.is_err() {
            self.lost();
        }
        result.map(|()| open)
    }

    /// Attempts to connect, with an own timeout, independent of the deadlines of jobs. The attempt is not dropped
    /// early, because the server may already count the connection.
    async fn connect(&mut self) -> Result<Open<S::Connection>, Error> {
        let store = Arc::clone(&self.store);
        let mut attempt = pin!(store.connect());
        let result = match timeout(self.query_timeout, &mut attempt).await {
            Ok(result) => result,
            Err(_elapsed) => {
                self.connectivity.failed(Reason::Timeout);
                self.rotation.suspend();
                let too_late = |_| Err(unusable(Reason::Timeout, "no connection in time"));
                timeout(ABANDON_AFTER, attempt)
                    .await
                    .unwrap_or_else(too_late)
            }
        };
        self.refused = result.is_err();
        match &result {
            Ok(_) => {
                self.guard = Some(self.connectivity.connected());
                self.rotation.resume();
            }
            Err(error) => {
                if error.reason == Reason::TooManyConnections {
                    self.metrics.refused.inc();
                }
                self.connectivity.failed(error.reason);
                self.rotation.suspend();
            }
        }
        result.map(|session| self.opened(session))
    }

    pub fn opened(&self, session: S::Connection) -> Open<S::Connection> {
        let now = Instant::now();
        Open {
            expiry: self.rotation.expiry(),
            used: now,
            served: now,
            _limit: self.limits.opened(session.account_limit()),
            session,
        }
    }

    /// There is no connection any more, but the server may still count it.
    pub fn lost(&mut self) {
        self.guard = None;
        if let Some(place) = self.place.take() {
            self.closing = place.lost();
        }
    }

    /// Retries until there is a connection, while the store is up.
    async fn connect_again(&mut self) {
        let mut backoff = BACKOFF.0;
        while self.refused {
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
            self.store_is_up().await;
            match self.connect().await {
                Ok(open) => self.connection = Some(open),
                Err(error) => self.metrics.store_error(error.reason),
            }
        }
    }

    pub async fn store_is_up(&self) {
        let up = |known: &Availability| matches!(known, Availability::Up { .. });
        // An error means that the prober has ended, and so has the process.
        self.availability.clone().wait_for(up).await.ok();
    }

    fn keep_unless_lost<T>(&mut self, mut open: Open<S::Connection>, result: &Result<T, Error>) {
        match result.as_ref().map_err(|error| error.scope) {
            Ok(_) | Err(Scope::Statement) => {
                open.used = Instant::now();
                self.connection = Some(open);
            }
            Err(Scope::Session) => self.lost(),
            Err(Scope::Abandoned) => {
                self.lost();
                self.abandoned = Some(Instant::now());
            }
        }
    }

    pub async fn ping(&mut self) {
        if let Some(mut open) = self.connection.take() {
            let deadline = Instant::now() + self.query_timeout;
            let result = self.unless_abandoned(open.session.ping(), deadline).await;
            self.keep_unless_lost(open, &result);
        }
    }

    /// Pings the connection like a probe; the prober requests this when its own connection fails.
    pub async fn prove_alive(&mut self) {
        let deadline = Instant::now() + self.query_timeout;
        if let Ok(mut open) = self.connected(deadline).await {
            let began = Instant::now();
            let result = self.unless_abandoned(open.session.probe(), deadline).await;
            if result.is_ok() {
                self.liveness.proven(began);
            }
            self.keep_unless_lost(open, &result);
        }
    }

    /// Returns when the connection is old, it is this worker's turn to replace it, and the store is up.
    pub async fn turn<'r>(&self, rotation: &'r Rotation) -> Option<SemaphorePermit<'r>> {
        match &self.connection {
            Some(open) => {
                sleep_until(open.expiry).await;
                self.store_is_up().await;
                rotation.turn(open.expiry).await
            }
            None => std::future::pending().await,
        }
    }

    /// Closes the connection and then opens another one.
    async fn replace(&mut self, _turn: Option<SemaphorePermit<'_>>) {
        if let Some(open) = self.connection.take() {
            timeout(CLOSING, open.session.close()).await.ok();
            self.guard = None;
            sleep(CLOSING).await;
            match self.connect().await {
                Ok(open) => self.connection = Some(open),
                Err(error) => self.metrics.store_error(error.reason),
            }
        }
    }

    /// Waits for the answer, even if it is late. Returns an error when it is certain that no answer will arrive.
    async fn unless_abandoned<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
        deadline: Instant,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = answer => result,
            () = self.outlived_by_server(deadline) => Err(unusable(Reason::Timeout, "the answer got lost")),
        }
    }

    /// Returns when every statement that was sent before `moment` must have ended ([`Proof`]), or when the process ends. The
    /// caller must not send a statement after `moment`.
    pub async fn outlived_by_server(&self, moment: Instant) {
        sleep_until(moment).await;
        let _quarantined = self.metrics.quarantine();
        let proof = Proof {
            availability: self.availability.clone(),
            poke: Arc::clone(&self.poke),
            liveness: Arc::clone(&self.liveness),
        };
        let mut closed = self.closed.clone();
        tokio::select! {
            () = proof.outlived(moment, self.store.statement_limit()) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }
}

/// Returns an error unless there is one history for each user. A user who is missing from the answer must not count as a
/// user without rows.
fn complete(histories: Vec<History>, users: usize) -> Result<Vec<History>, Error> {
    if histories.len() == users {
        return Ok(histories);
    }
    let what = format!("{} histories for {users} users", histories.len());
    Err(unusable(Reason::Other, &what))
}

pub fn unusable(reason: Reason, what: &str) -> Error {
    Error {
        reason,
        scope: Scope::Session,
        source: what.into(),
    }
}

fn answer(jobs: Vec<Job>, histories: Vec<History>) {
    for (job, history) in jobs.into_iter().zip(histories) {
        job.reply.send(Ok(history)).ok();
    }
}

fn fail(jobs: Vec<Job>, error: &Error) {
    let error = match error.reason {
        Reason::Timeout => LoadError::TimedOut,
        reason => LoadError::Unavailable(reason),
    };
    for job in jobs {
        job.reply.send(Err(error)).ok();
    }
}
