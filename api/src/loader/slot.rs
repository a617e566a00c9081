//! One connection and the task that owns it: takes what waits, asks the store, answers.
//!
//! A connection is used again, or replaced, only when the server has surely ended what it was asked: otherwise the server
//! would run more statements for this process than it has slots. So a statement is never cancelled. When nobody waits for
//! it any more the slot goes on waiting, for the answer or until the server has proven, by answering the prober, that it
//! lived for long enough to have ended the statement by its own limit.

use super::LoadError;
use super::door::{Door, Pass};
use super::prober::{Availability, BACKOFF, GRACE};
use super::queue::{Job, Queue};
use crate::metrics::LoaderMetrics;
use crate::model::{History, UserId};
use crate::store::{Connection, Error, Reason, Scope, Store};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tracing::debug;

/// An idle connection is used this often, well within the server's `wait_timeout`.
const PING_PERIOD: Duration = Duration::from_secs(20);

pub struct Slot<S: Store> {
    pub store: Arc<S>,
    pub queue: Arc<Queue>,
    pub history_length: u32,
    pub query_timeout: Duration,
    pub availability: watch::Receiver<Availability>,
    pub poke: Arc<Notify>,
    pub door: Arc<Door>,
    pub metrics: Arc<LoaderMetrics>,
    pub closed: watch::Receiver<bool>,
    pub connection: Option<S::Connection>,
    /// Held as long as there is a connection, a statement under way included.
    pub pass: Option<Pass>,
    /// Whether the last attempt to connect failed.
    pub refused: bool,
    /// When a panic left a statement behind that the server may still be running.
    pub abandoned: Option<Instant>,
}

impl<S: Store> Slot<S> {
    pub async fn run(mut self) {
        let mut closed = self.closed.clone();
        if let Some(since) = self.abandoned.take() {
            self.outlived_by_server(since).await;
        }
        loop {
            if self.refused {
                // Takes no jobs: those that have a connection would go short of them.
                tokio::select! {
                    () = self.connect_again() => {}
                    _ = closed.wait_for(|closed| *closed) => break,
                }
            }
            tokio::select! {
                jobs = self.queue.take(S::USERS_PER_STATEMENT) => match jobs {
                    Some(jobs) => self.serve(jobs).await,
                    None => break,
                },
                () = sleep(PING_PERIOD), if self.connection.is_some() => self.ping().await,
            }
        }
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    async fn serve(&mut self, jobs: Vec<Job>) {
        let users: Vec<UserId> = jobs.iter().map(|job| job.user).collect();
        let Some(deadline) = jobs.iter().map(|job| job.deadline).max() else {
            return;
        };
        let metrics = Arc::clone(&self.metrics);
        let _busy = metrics.work();
        match self.read(&users, deadline).await {
            Ok(histories) => {
                for (job, history) in jobs.into_iter().zip(histories) {
                    job.reply.send(Ok(history)).ok();
                }
            }
            Err(error)
                if error.scope == Scope::Statement
                    && error.reason == Reason::Other
                    && users.len() > 1 =>
            {
                self.serve_one_by_one(jobs).await;
            }
            // Others have a connection.
            Err(_) if self.refused && self.door.shut().is_none() => self.queue.give_back(jobs),
            Err(error) => fail(jobs, &error),
        }
    }

    /// So that one user whose rows cannot be read costs the others nothing but time.
    async fn serve_one_by_one(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            match self.read(&[job.user], job.deadline).await {
                Ok(mut histories) => {
                    job.reply.send(Ok(histories.pop().unwrap_or_default())).ok();
                }
                Err(error) => fail(vec![job], &error),
            }
        }
    }

    /// Asks once more on a new connection when one that had been idle turns out to be broken.
    async fn read(&mut self, users: &[UserId], deadline: Instant) -> Result<Vec<History>, Error> {
        let was_idle = self.connection.is_some();
        match self.read_once(users, deadline).await {
            Err(error) if error.reason == Reason::Unreachable && was_idle => self.read_once(users, deadline).await,
            result => result,
        }
        .inspect_err(|error| {
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
        let mut connection = self.connected(deadline).await?;
        let began = Instant::now();
        let answer = connection.histories(users, self.history_length);
        let result = self.unless_abandoned(answer, deadline).await;
        self.metrics
            .statement_seconds
            .observe(began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a handful of users")]
        self.metrics.batch_users.observe(users.len() as f64);
        self.keep_unless_lost(connection, &result);
        result
    }

    /// The slot's connection, taken out, or a new one once the store is up.
    async fn connected(&mut self, deadline: Instant) -> Result<S::Connection, Error> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
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
        self.connect(deadline).await
    }

    async fn connect(&mut self, deadline: Instant) -> Result<S::Connection, Error> {
        let result = timeout_at(deadline, self.store.connect())
            .await
            .unwrap_or_else(|_| Err(unusable(Reason::Timeout, "no connection in time")));
        self.refused = result.is_err();
        match &result {
            Ok(_) => self.pass = Some(self.door.enter()),
            Err(error) => self.door.refused(error.reason),
        }
        result
    }

    /// Tries until there is a connection, while the store is up.
    async fn connect_again(&mut self) {
        let mut backoff = BACKOFF.0;
        while self.refused {
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
            let up = |known: &Availability| matches!(known, Availability::Up { .. });
            // An error says that the prober has ended, and so has the process.
            self.availability.wait_for(up).await.ok();
            let deadline = Instant::now() + self.query_timeout;
            if let Ok(connection) = self.connect(deadline).await {
                self.connection = Some(connection);
            }
        }
    }

    fn keep_unless_lost<T>(&mut self, connection: S::Connection, result: &Result<T, Error>) {
        if result
            .as_ref()
            .is_err_and(|error| error.scope == Scope::Session)
        {
            drop(connection);
            self.pass = None;
        } else {
            self.connection = Some(connection);
        }
    }

    async fn ping(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            let result = self
                .unless_abandoned(connection.ping(), Instant::now() + self.query_timeout)
                .await;
            self.keep_unless_lost(connection, &result);
        }
    }

    /// The answer, however late, or an error when it will surely never come.
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

    /// Ends when the server has been alive for longer than any statement may take, counted from `deadline`; or when the
    /// process ends.
    async fn outlived_by_server(&self, deadline: Instant) {
        sleep_until(deadline).await;
        let _quarantined = self.metrics.quarantine();
        self.poke.notify_one();
        let proof = async {
            self.answered_after(deadline).await;
            sleep(self.store.statement_limit() + GRACE).await;
            self.poke.notify_one();
            self.answered_after(Instant::now()).await;
        };
        let mut closed = self.closed.clone();
        tokio::select! {
            () = proof => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }

    /// Ends when a probe that began after `moment` has succeeded.
    async fn answered_after(&self, moment: Instant) {
        let answered =
            |known: &Availability| matches!(known, Availability::Up { probed } if *probed > moment);
        // An error says that the prober has ended, and so has the process.
        self.availability.clone().wait_for(answered).await.ok();
    }
}

fn unusable(reason: Reason, what: &str) -> Error {
    Error {
        reason,
        scope: Scope::Session,
        source: what.into(),
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
