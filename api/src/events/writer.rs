//! The writer: the task that owns the one connection for events. It stores queued events, erases users, and deletes old
//! digests when it is idle.
//!
//! A statement is never cancelled. If a connection breaks in the middle of a statement, it is replaced only when the
//! server has certainly ended the statement. The same holds for the connections that read (`loader::worker`).

use super::failure::{Failure, Unavailable};
use super::metrics::EventMetrics;
use super::queue::{Batch, Erasure, Receiver, Work};
use crate::loader::{LoaderMetrics, OpenSession, Proof, WriterSeat};
use crate::model::UserId;
use crate::store::write::{Event, Kind, Outcome, WriteError, WriteSession, WriteStore};
use crate::store::{Error, Reason, Scope};
use jiff::Timestamp;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

/// Time between two pings of an idle connection, well within the server's `wait_timeout`.
const PING_PERIOD: Duration = Duration::from_secs(20);
/// Time between two attempts to get a usable connection.
const RETRY_PERIOD: Duration = Duration::from_secs(1);
/// Maximum time of an attempt to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause between closing a connection and opening another one, until the server no longer counts the old one.
const CLOSING: Duration = Duration::from_millis(100);
/// A connection that has been idle for longer is pinged before it is used.
const PING_AFTER_IDLE: Duration = Duration::from_millis(10);
/// Time between two searches for old digests.
const PURGE_PERIOD: Duration = Duration::from_mins(10);
/// Pause after a failed attempt to replace a connection.
const RENEWAL_RETRY_PAUSE: Duration = Duration::from_mins(1);
/// Digests that one statement deletes.
const PURGE_BATCH: u32 = 1000;
/// Rows that one statement of an erasure deletes. The number is small, because MariaDB ends a statement after the query
/// timeout.
const ERASE_BATCH: u32 = 2000;
/// A connection without an answer is abandoned after this time, if the server answers other connections. The time is
/// long, because MySQL does not limit the time of statements that write. If a connection were abandoned earlier, it
/// would be replaced while the server still runs its statement.
const ABANDON_AFTER: Duration = Duration::from_mins(1);
/// Minimum and maximum pause before a transaction that failed because of a lock is repeated.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// The parts and settings of the writer.
pub struct Writer<S: WriteStore> {
    pub store: Arc<S>,
    pub queue: Receiver,
    pub proof: Proof,
    /// Its place among the connections of the process.
    pub seat: WriterSeat,
    /// For how long digests are kept.
    pub retention: Duration,
    pub connection_max_age: Duration,
    /// Maximum wait for a ping, and for the store at the start.
    pub ping_timeout: Duration,
    /// Why the writer accepts no requests; `None`: it accepts them.
    pub state: watch::Sender<Option<Unavailable>>,
    pub metrics: Arc<EventMetrics>,
    pub connections: Arc<LoaderMetrics>,
    pub closed: watch::Receiver<bool>,
    pub session: Option<Open<S::Session>>,
    /// When a connection was lost in the middle of a statement, because it broke or because of a panic. The server may
    /// still be running the statement.
    pub abandoned: Option<Instant>,
    pub next_purge: Instant,
}

/// What the session does.
#[derive(Clone, Copy)]
enum Operation<'a> {
    Check,
    Insert(&'a [&'a Event]),
    BeginErasure(&'a UserId),
    Erase(&'a UserId, Kind),
    EndErasure,
    Purge(Timestamp),
}

/// The result of an operation.
enum Done {
    /// The operation has no result.
    Nothing,
    /// The outcome of each event.
    Outcomes(Vec<Outcome>),
    /// The number of deleted rows.
    Rows(u64),
}

impl Operation<'_> {
    async fn run<T: WriteSession>(self, session: &mut T) -> Result<Done, WriteError> {
        match self {
            Self::Check => session.check().await.map(|()| Done::Nothing),
            Self::Insert(events) => session.insert(events).await.map(Done::Outcomes),
            Self::BeginErasure(user) => session.begin_erasure(user).await.map(|()| Done::Nothing),
            Self::Erase(user, kind) => session.erase(user, kind, ERASE_BATCH).await.map(Done::Rows),
            Self::EndErasure => {
                session.end_erasure().await;
                Ok(Done::Nothing)
            }
            Self::Purge(before) => session.purge(before, PURGE_BATCH).await.map(Done::Rows),
        }
    }
}

/// A connection between two statements.
pub struct Open<T> {
    session: T,
    expiry: Instant,
    used: Instant,
    _limit: OpenSession,
}

impl<S: WriteStore> Writer<S> {
    pub async fn run(mut self) {
        self.connections.writer_open.set(0);
        let closed = self.closed.clone();
        tokio::select! {
            biased;
            () = is_closed(closed) => return,
            () = self.proof.up() => {}
            () = sleep(self.ping_timeout) => {}
        }
        self.look().await;
        while self.work().await {}
        if let Some(open) = self.session.take() {
            open.session.close().await;
        }
    }

    /// Does the next operation; returns whether the process continues.
    async fn work(&mut self) -> bool {
        if let Some(since) = self.abandoned {
            return self.wait_for_proof(since).await;
        }
        let (queue, closed) = (self.queue.clone(), self.closed.clone());
        tokio::select! {
            biased;
            () = is_closed(closed) => return false,
            work = queue.next() => self.handle(work).await,
            () = sleep_until(self.next_look()) => self.look().await,
        }
        true
    }

    /// Waits until the server has ended the statement of a connection that was lost. During this time, requests fail.
    async fn wait_for_proof(&mut self, since: Instant) -> bool {
        let (proof, limit) = (self.proof.clone(), self.store.statement_limit());
        let mut proven = pin!(proof.outlived(since, limit));
        loop {
            let (queue, closed) = (self.queue.clone(), self.closed.clone());
            tokio::select! {
                biased;
                () = is_closed(closed) => return false,
                () = &mut proven => break,
                work = queue.next() => self.handle(work).await,
            }
        }
        self.abandoned = None;
        self.look().await;
        true
    }

    async fn handle(&mut self, work: Work) {
        match work {
            Work::Batches(batches) => self.store_all(batches).await,
            Work::Erasure(erasure) => self.erase(erasure).await,
        }
    }

    fn next_look(&self) -> Instant {
        match &self.session {
            Some(open) if self.state.borrow().is_none() => (open.used + PING_PERIOD)
                .min(self.next_purge)
                .min(open.expiry),
            _ => Instant::now() + RETRY_PERIOD,
        }
    }

    /// Keeps the connection usable, and deletes old digests.
    async fn look(&mut self) {
        if self.is_old() {
            self.renew().await;
        }
        if self.usable().await.is_err() || Instant::now() < self.next_purge {
            return;
        }
        self.next_purge = Instant::now() + PURGE_PERIOD.mul_f64(0.5 + fastrand::f64());
        let before = Timestamp::now() - self.retention;
        match self.during(Operation::Purge(before)).await {
            // There may be more old digests, but requests have precedence.
            Ok(Done::Rows(deleted)) if deleted >= PURGE_BATCH.into() => {
                self.next_purge = Instant::now();
            }
            Ok(_) => {}
            Err(error) => debug!(error = %error.cause().source, "failed to delete old digests"),
        }
    }

    fn is_old(&self) -> bool {
        let expiry = self.session.as_ref().map(|open| open.expiry);
        expiry.is_some_and(|expiry| Instant::now() >= expiry)
    }

    /// Replaces an old connection. If the process has a free place, the new one is opened first, because the server
    /// could refuse a new connection after the old one is closed. Otherwise the old one is only closed.
    async fn renew(&mut self) {
        let Some(spare) = self.seat.spare() else {
            return self.close().await;
        };
        let connecting = timeout(CONNECT_TIMEOUT, self.store.connect()).await;
        match (connecting, &mut self.session) {
            (Ok(Ok(session)), _) => {
                self.close().await;
                self.opened(session);
            }
            (_, Some(open)) => open.expiry = Instant::now() + RENEWAL_RETRY_PAUSE,
            (_, None) => {}
        }
        drop(spare);
    }

    async fn close(&mut self) {
        if let Some(open) = self.session.take() {
            timeout(CLOSING, open.session.close()).await.ok();
            self.connections.writer_open.set(0);
            sleep(CLOSING).await;
        }
    }

    /// Ensures that there is a connection, and that the tables can be written to.
    async fn usable(&mut self) -> Result<(), Failure> {
        let result = self.connected().await;
        if let Err(unavailable) = result {
            self.announce(Some(unavailable));
            return Err(Failure::Unavailable(unavailable));
        }
        if self.state.borrow().is_some() {
            match self.during(Operation::Check).await {
                Ok(_) => self.announce(None),
                Err(error) => {
                    let failure = Failure::from(&error);
                    let reason = error.cause().reason;
                    self.announce(Some(match failure {
                        Failure::Unavailable(unavailable) => unavailable,
                        _ => Unavailable::Store(reason),
                    }));
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    async fn connected(&mut self) -> Result<(), Unavailable> {
        if self.abandoned.is_some() {
            return Err(Unavailable::Store(Reason::Unreachable));
        }
        if let Some(open) = &mut self.session {
            if open.used.elapsed() < PING_AFTER_IDLE {
                return Ok(());
            }
            // If the connection broke while it was idle, the server is not running a statement of this connection.
            match timeout(self.ping_timeout, open.session.ping()).await {
                Ok(Ok(())) => {
                    open.used = Instant::now();
                    return Ok(());
                }
                Ok(Err(_)) => self.close_broken(),
                Err(_) => {
                    self.close_broken();
                    self.abandoned = Some(Instant::now());
                    return Err(Unavailable::Store(Reason::Timeout));
                }
            }
            sleep(CLOSING).await;
        }
        if let Some(reason) = self.proof.down() {
            return Err(Unavailable::Store(reason));
        }
        let connecting = timeout(CONNECT_TIMEOUT, self.store.connect()).await;
        match connecting.unwrap_or_else(|_| Err(timed_out())) {
            Ok(session) => {
                self.opened(session);
                Ok(())
            }
            Err(error) => {
                self.seat.failed(error.reason);
                self.connections.store_error(error.reason);
                self.proof.suspect();
                debug!(error = %error.source, "failed to connect for events");
                if error.scope == Scope::Abandoned {
                    self.abandoned = Some(Instant::now());
                }
                Err(Unavailable::Store(error.reason))
            }
        }
    }

    fn opened(&mut self, session: S::Session) {
        let max_age = self.connection_max_age.mul_f64(0.9 + 0.2 * fastrand::f64());
        let now = Instant::now();
        self.session = Some(Open {
            expiry: now + max_age,
            used: now,
            _limit: self.seat.opened(session.account_limit()),
            session,
        });
        self.connections.writer_open.set(1);
        // Tables and privileges may have changed.
        self.state.send_if_modified(|state| {
            let was_usable = state.is_none();
            if was_usable {
                *state = Some(Unavailable::Starting);
            }
            was_usable
        });
    }

    fn close_broken(&mut self) {
        self.session = None;
        self.connections.writer_open.set(0);
    }

    /// Logs each change.
    fn announce(&self, state: Option<Unavailable>) {
        let before = self.state.send_replace(state);
        match state {
            _ if before == state => {}
            // A new connection.
            None if before == Some(Unavailable::Starting) => {}
            None => info!("events can be stored"),
            Some(Unavailable::Unusable(unusable)) => {
                warn!(reason = %unusable, "events cannot be stored");
            }
            // The prober logs that the store is down.
            Some(_) => debug!(?state, "events cannot be stored"),
        }
    }

    /// Runs one operation of the session to its end. If the server does not answer in time, but answers other
    /// connections, this connection is given up.
    async fn during(&mut self, operation: Operation<'_>) -> Result<Done, WriteError> {
        let Some(mut open) = self.session.take() else {
            return Err(WriteError::Failed(timed_out()));
        };
        let (limit, proof) = (self.store.statement_limit(), self.proof.clone());
        let given_up = proof.outlived(Instant::now() + ABANDON_AFTER, limit);
        let closed = self.closed.clone();
        let result = tokio::select! {
            biased;
            result = operation.run(&mut open.session) => result,
            () = given_up => Err(WriteError::Unknown(timed_out())),
            // The process is ending, but waits a moment for the answer.
            () = async { is_closed(closed).await; sleep(CLOSING).await } => Err(WriteError::Unknown(timed_out())),
        };
        let scope = match &result {
            Ok(_) => Scope::Statement,
            Err(error) => {
                self.connections.store_error(error.cause().reason);
                self.proof.suspect();
                error.cause().scope
            }
        };
        match scope {
            Scope::Statement => {
                open.used = Instant::now();
                self.session = Some(open);
            }
            Scope::Session => self.close_broken(),
            Scope::Abandoned => {
                self.close_broken();
                self.abandoned = Some(Instant::now());
            }
        }
        if let Err(WriteError::Unusable(unusable, _)) = &result {
            self.announce(Some(Unavailable::Unusable(*unusable)));
        }
        if self.session.is_none() {
            let reason = result.as_ref().err().map(|error| error.cause().reason);
            let reason = reason.unwrap_or(Reason::Other);
            self.announce(Some(Unavailable::Store(reason)));
        }
        result
    }

    /// Stores the events of these requests in one transaction; one by one if the database rejects one of them.
    async fn store_all(&mut self, batches: Vec<Batch>) {
        let now = Instant::now();
        let (batches, late): (Vec<_>, Vec<_>) =
            batches.into_iter().partition(|batch| now < batch.deadline);
        for batch in late {
            self.reply(batch, Err(Failure::Busy));
        }
        if batches.is_empty() {
            return;
        }
        let events: Vec<&Event> = batches.iter().flat_map(|batch| &batch.events).collect();
        let deadlines = batches.iter().map(|batch| batch.deadline);
        let deadline = deadlines.min().unwrap_or(now);
        match self.store(&events, deadline).await {
            Ok(outcomes) => {
                let mut rest = &outcomes[..];
                for batch in batches {
                    let (own, others) = rest.split_at(batch.events.len());
                    self.reply(batch, Ok(own.to_vec()));
                    rest = others;
                }
            }
            Err(Failure::Rejected(_)) if batches.len() > 1 => {
                for batch in batches {
                    let events: Vec<&Event> = batch.events.iter().collect();
                    let result = self.store(&events, batch.deadline).await;
                    self.reply(batch, result);
                }
            }
            Err(failure) => {
                for batch in batches {
                    self.reply(batch, Err(failure));
                }
            }
        }
    }

    fn reply(&self, batch: Batch, result: Result<Vec<Outcome>, Failure>) {
        match &result {
            Ok(outcomes) => self.metrics.stored(outcomes),
            Err(_) => self.metrics.failed(batch.events.len()),
        }
        batch.reply.send(result).ok();
    }

    async fn store(
        &mut self,
        events: &[&Event],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, Failure> {
        let began = Instant::now();
        let result = self.repeatedly(deadline, Operation::Insert(events)).await;
        self.metrics.seconds.observe(began.elapsed().as_secs_f64());
        match result? {
            Done::Outcomes(outcomes) => Ok(outcomes),
            Done::Nothing | Done::Rows(_) => Err(Failure::Unknown),
        }
    }

    /// Runs an operation. While locks make it fail, repeats it until `deadline`.
    async fn repeatedly(
        &mut self,
        deadline: Instant,
        operation: Operation<'_>,
    ) -> Result<Done, Failure> {
        let mut pause = PAUSE.0;
        loop {
            self.usable().await?;
            let error = match self.during(operation).await {
                Ok(result) => return Ok(result),
                Err(error) => error,
            };
            debug!(error = %error.cause().source, "failed to write");
            let is_over = Instant::now() + pause >= deadline;
            match &error {
                WriteError::Busy(_) if !is_over => {}
                error => return Err(error.into()),
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    async fn erase(&mut self, erasure: Erasure) {
        let result = self.erased(&erasure).await;
        match result {
            Ok(_) => &self.metrics.erased,
            Err(_) => &self.metrics.not_erased,
        }
        .inc();
        erasure.reply.send(result).ok();
    }

    /// Deletes the user's rows in small statements. Between these, waiting events are stored.
    async fn erased(&mut self, erasure: &Erasure) -> Result<[u64; 2], Failure> {
        let Erasure { user, deadline, .. } = erasure;
        let mut rows = [0, 0];
        if Instant::now() >= *deadline {
            return Err(Failure::Busy);
        }
        self.repeatedly(*deadline, Operation::BeginErasure(user))
            .await?;
        for kind in Kind::ALL {
            loop {
                let erase = Operation::Erase(user, kind);
                let deleted = self.repeatedly(*deadline, erase).await;
                // From here on, some rows may be erased.
                let deleted = deleted.map_err(|failure| match failure {
                    Failure::Busy => Failure::Unknown,
                    failure => failure,
                })?;
                let Done::Rows(deleted @ 1..) = deleted else {
                    break;
                };
                rows[kind as usize] += deleted;
                if Instant::now() >= *deadline {
                    return Err(Failure::Unknown);
                }
                if let Some(batches) = self.queue.waiting().await {
                    self.store_all(batches).await;
                }
            }
        }
        self.during(Operation::EndErasure).await.ok();
        Ok(rows)
    }
}

async fn is_closed(mut closed: watch::Receiver<bool>) {
    // An error means that the process is ending.
    closed.wait_for(|closed| *closed).await.ok();
}

fn timed_out() -> Error {
    Error {
        reason: Reason::Timeout,
        scope: Scope::Abandoned,
        source: "the database did not answer in time".into(),
    }
}
