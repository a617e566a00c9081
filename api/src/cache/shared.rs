//! The cache that processes share, in Redis. A failure of Redis is a miss and a metric, never a wrong result.
//!
//! **Lease.** A miss takes a lease with a random token, or reads the existing token. Writing an entry requires the token and
//! an existing lease. An invalidation deletes lease and entry, so a write that began before it is rejected. Evicting a lease
//! is safe: it only causes rejected writes.

mod connection;
pub(crate) mod entry;
mod heartbeat;
mod key_names;
mod metrics;
mod scripts;

pub use entry::Found;
pub use key_names::Identity;
pub use metrics::SharedMetrics;

use crate::cache::generation::Invalidation;
use crate::model::UserId;
use crate::supervise::Task;
use bytes::Bytes;
use connection::{Connection, ConnectionSupervisor, CurrentConnection};
use entry::{DecodeError, token};
use metrics::{Operation, Outcome};
use reckon_contract::health::STARTING;
use redis::{Client, FromRedisValue, RedisError, ScriptInvocation, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

/// Maximum time between reading a lease and writing with it.
const LEASE_MILLISECONDS: u32 = 10_000;
/// Maximum wait for the acknowledgement of an invalidation.
const INVALIDATION_TIMEOUT: Duration = Duration::from_secs(1);

/// Where Redis is.
#[derive(Clone)]
pub struct Address {
    /// The client that connects; it holds user and password.
    pub client: Client,
    /// Host and port, for logs and messages.
    pub server: String,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.server)
    }
}

/// The right to write one user's entry until the next invalidation.
pub struct Lease {
    connection: Arc<Connection>,
    epoch: Arc<str>,
    token: String,
}

/// The result of a look-up for one user.
pub enum Lookup {
    /// A fresh entry.
    Fresh(Found),
    /// No entry, or a stale one that may be served only while the store is unavailable; with a lease if one was available.
    Missing(Option<Found>, Option<Lease>),
}

/// A result to be written.
pub struct Fill {
    /// The user.
    pub user: UserId,
    /// From the look-up that was a miss.
    pub lease: Lease,
    /// The JSON.
    pub body: Bytes,
    /// Tag of the trained model that it was computed with.
    pub model: u64,
    /// How long it may be served as fresh.
    pub fresh: Duration,
    /// How much longer it may be served while the store is unavailable.
    pub stale: Duration,
}

/// The shared cache did not acknowledge an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared cache did not confirm the invalidation")]
pub struct Unconfirmed;

/// The cache that processes share.
pub struct SharedCache {
    state: Arc<CurrentConnection>,
    identity: Identity,
    deadline: Duration,
    unavailable_reason: watch::Receiver<Option<&'static str>>,
    metrics: Arc<SharedMetrics>,
    keeper: JoinHandle<()>,
}

impl SharedCache {
    /// Starts to connect, and reconnects without end; `hear` receives each invalidation, of other processes and of this one.
    pub fn start(
        address: Address,
        identity: Identity,
        deadline: Duration,
        metrics: Arc<SharedMetrics>,
        on_invalidation: impl Fn(Invalidation) + Clone + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(CurrentConnection::new(Arc::clone(&metrics)));
        let (report, unavailable_reason) = watch::channel(Some(STARTING));
        let keeper = Arc::new(ConnectionSupervisor {
            client: address.client,
            server: address.server,
            identity: identity.clone(),
            state: Arc::clone(&state),
            deadline,
            on_invalidation,
            unavailable_reason: report,
        });
        let tasks = Arc::clone(&metrics.tasks);
        let keeping = tasks.keep(Task::SharedCache, move |_| Arc::clone(&keeper).run());
        Self {
            state,
            identity,
            deadline,
            unavailable_reason,
            metrics,
            keeper: tokio::spawn(keeping),
        }
    }

    /// Looks up each of `users`, in their order, in one round trip. Entries that were computed with a model other than `model`
    /// are stale.
    pub(crate) async fn get(&self, users: &[UserId], model: u64) -> Vec<Lookup> {
        let found = match self.state.usable() {
            Some(connection) => self.read(&connection, users, model).await,
            None => None,
        };
        found.unwrap_or_else(|| users.iter().map(|_| Lookup::Missing(None, None)).collect())
    }

    async fn read(
        &self,
        connection: &Arc<Connection>,
        users: &[UserId],
        model: u64,
    ) -> Option<Vec<Lookup>> {
        let deadline = Instant::now() + self.deadline;
        let mut script = scripts::READ.key(self.identity.root());
        script.arg(self.identity.variant()).arg(token());
        script.arg(token()).arg(LEASE_MILLISECONDS);
        script.arg(entry::tag(model));
        for user in users {
            script.arg(key_names::user(user));
        }
        let answer: Vec<Value> = self
            .run(connection, &script, Operation::Read, deadline)
            .await?;
        let mut answer = answer.into_iter();
        // A full server that has lost its epoch returns nothing, and so does a replica.
        let epoch: Arc<str> = String::from_redis_value(answer.next()?).ok()?.into();
        let lease = |token: Value| {
            let token = String::from_redis_value(token).ok()?;
            Some(Lease {
                connection: Arc::clone(connection),
                epoch: Arc::clone(&epoch),
                token,
            })
        };
        let mut found = Vec::with_capacity(users.len());
        let mut damaged = Vec::new();
        for (index, user) in users.iter().enumerate() {
            let (value, left, token) = (answer.next()?, answer.next()?, answer.next()?);
            let lease = lease(token);
            found.push(match understand(user, value, left, &epoch) {
                Ok(Some(entry)) if !entry.fresh.is_zero() && entry.model == model => {
                    Lookup::Fresh(entry)
                }
                Ok(aged) => Lookup::Missing(aged, lease),
                Err(Unreadable) => {
                    self.metrics.unreadable.inc();
                    // The script in Redis took it for fresh.
                    if lease.is_none() {
                        damaged.push((index, user));
                    }
                    Lookup::Missing(None, lease)
                }
            });
        }
        if !damaged.is_empty() {
            let tokens = self.discard(connection, &damaged, deadline).await;
            for ((index, _), token) in damaged.iter().zip(tokens.unwrap_or_default()) {
                found[*index] = Lookup::Missing(None, lease(token));
            }
        }
        Some(found)
    }

    /// Deletes unreadable entries so that they can be replaced; if it fails, the next reader retries.
    async fn discard(
        &self,
        connection: &Connection,
        damaged: &[(usize, &UserId)],
        deadline: Instant,
    ) -> Option<Vec<Value>> {
        let mut script = scripts::DISCARD.key(self.identity.root());
        script.arg(self.identity.variant());
        script.arg(token()).arg(LEASE_MILLISECONDS);
        for (_, user) in damaged {
            script.arg(key_names::user(user));
        }
        self.run(connection, &script, Operation::Discard, deadline)
            .await
    }

    /// Writes results; those whose lease is gone are rejected.
    pub(crate) async fn fill(&self, fills: Vec<Fill>) {
        let Some(first) = fills.first() else { return };
        let (connection, epoch) = (
            Arc::clone(&first.lease.connection),
            Arc::clone(&first.lease.epoch),
        );
        let mut script = scripts::FILL.key(self.identity.root());
        script.arg(self.identity.variant()).arg(&*epoch);
        for fill in &fills {
            let total = u64::try_from((fill.fresh + fill.stale).as_millis()).unwrap_or(u64::MAX);
            let entry = entry::encode(
                &fill.user,
                &epoch,
                (&fill.body, fill.model),
                fill.fresh,
                fill.stale,
            );
            script
                .arg(key_names::user(&fill.user))
                .arg(&fill.lease.token);
            script.arg(total).arg(entry);
        }
        let deadline = Instant::now() + self.deadline;
        if let Some((filled, rejected)) = self
            .run::<(u64, u64)>(&connection, &script, Operation::Fill, deadline)
            .await
        {
            self.metrics.filled.inc_by(filled);
            self.metrics.rejected.inc_by(rejected);
        }
    }

    /// Invalidates in every process. One second after it has returned `Ok`, no attached process serves an older result.
    ///
    /// # Errors
    /// Redis did not acknowledge the invalidation.
    pub(crate) async fn invalidate(&self, what: &Invalidation) -> Result<(), Unconfirmed> {
        let connection = self.state.any().ok_or(Unconfirmed)?;
        let mut script = scripts::INVALIDATE.key(self.identity.root());
        script.arg(self.identity.channel());
        if let Invalidation::Users(users) = what {
            for user in users {
                script.arg(key_names::user(user));
            }
        }
        let mut multiplexed = connection.multiplexed.clone();
        let confirmed = script.invoke_async::<()>(&mut multiplexed);
        let (result, outcome) = match timeout(INVALIDATION_TIMEOUT, confirmed).await {
            Ok(Ok(())) => (Ok(()), Outcome::Ok),
            Ok(Err(_)) => (Err(Unconfirmed), Outcome::Error),
            Err(_) => (Err(Unconfirmed), Outcome::Timeout),
        };
        self.metrics.ended(Operation::Invalidate, outcome);
        result
    }

    /// The texts of positions that were kept under `fields`; `None`: the shared cache did not answer.
    pub(crate) async fn positions(&self, fields: &[&str]) -> Option<Vec<Option<String>>> {
        let mut script = scripts::POSITIONS.key(self.identity.root());
        script.arg(self.identity.variant()).arg(fields);
        let texts: Vec<Option<String>> = self.run_short(&script).await?;
        (texts.len() == fields.len()).then_some(texts)
    }

    /// Keeps texts of positions, each under its field, until everything is invalidated. If it fails, older ones stay.
    pub(crate) async fn keep_positions(&self, positions: &[(String, String)]) -> bool {
        let mut script = scripts::KEEP_POSITIONS.key(self.identity.root());
        script.arg(self.identity.variant());
        for (field, text) in positions {
            script.arg(field).arg(text);
        }
        self.run_short::<()>(&script).await.is_some()
    }

    /// Runs a script that no request waits for.
    async fn run_short<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        let mut multiplexed = self.state.any()?.multiplexed.clone();
        let answer = script.invoke_async(&mut multiplexed);
        timeout(INVALIDATION_TIMEOUT, answer).await.ok()?.ok()
    }

    /// Runs a script within the deadline; a failure is counted, and several in a row open the circuit breaker.
    async fn run<T: FromRedisValue>(
        &self,
        connection: &Connection,
        script: &ScriptInvocation<'_>,
        operation: Operation,
        deadline: Instant,
    ) -> Option<T> {
        let began = Instant::now();
        let mut multiplexed = connection.multiplexed.clone();
        let result: Result<Result<T, RedisError>, _> =
            timeout_at(deadline, script.invoke_async(&mut multiplexed)).await;
        self.metrics.seconds.observe(began.elapsed().as_secs_f64());
        let (value, outcome) = match result {
            Ok(Ok(value)) => (Some(value), Outcome::Ok),
            Ok(Err(_)) => (None, Outcome::Error),
            Err(_) => (None, Outcome::Timeout),
        };
        connection.failures.note(value.is_some());
        self.metrics.ended(operation, outcome);
        value
    }

    /// Whether this process has received all invalidations that were made more than a second ago.
    #[must_use]
    pub(crate) fn is_attached(&self) -> bool {
        self.state.is_attached()
    }

    /// Why there is no connection; `None` when there is a confirmed one.
    #[must_use]
    pub fn unavailable_reason(&self) -> Option<&'static str> {
        let unavailable_reason = *self.unavailable_reason.borrow();
        unavailable_reason.or_else(|| (!self.is_attached()).then_some("timeout"))
    }

    /// Closes the connection permanently.
    pub(crate) fn close(&self) {
        self.keeper.abort();
        self.state.close();
    }
}

impl Drop for SharedCache {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The bytes exist and are not a valid entry.
struct Unreadable;

/// Decodes the server's reply for one user; `None` when there is no valid entry.
fn understand(
    user: &UserId,
    value: Value,
    left: Value,
    epoch: &str,
) -> Result<Option<Found>, Unreadable> {
    let Value::BulkString(bytes) = value else {
        return Ok(None);
    };
    // An entry without expiry was not written by us.
    let left = u64::from_redis_value(left).map_err(|_| Unreadable)?;
    match entry::decode(&bytes.into(), user, epoch, Duration::from_millis(left)) {
        Ok(found) => Ok(Some(found)),
        Err(DecodeError::OtherEpoch) => Ok(None),
        Err(DecodeError::Unreadable) => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = Address {
            client: redis::Client::open("redis://reckon:secret@cache:6379").unwrap(),
            server: "cache:6379".to_owned(),
        };
        assert_eq!(format!("{address:?}"), "cache:6379");
    }
}
