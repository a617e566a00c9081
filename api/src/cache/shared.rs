//! The cache that processes share, in Redis. A failure of Redis is a miss and a metric, never a wrong result.
//!
//! **Lease.** A look-up that misses takes a lease with a random token, or reads the token of the existing lease.
//! Writing an entry requires an existing lease and its token. An invalidation deletes both lease and entry, so a write
//! of an older result is rejected. If Redis evicts a lease, the only consequence is a rejected write.

mod calls;
mod connection;
pub(crate) mod entry;
mod heartbeat;
mod joined_lookups;
mod key_names;
mod lookup;
mod metrics;
mod scripts;

pub use entry::Found;
pub use key_names::Identity;
pub use lookup::{Lease, Lookup};
pub use metrics::SharedMetrics;

use crate::cache::generation::Invalidation;
use crate::model::UserId;
use crate::supervise::Task;
use bytes::Bytes;
use calls::Calls;
use connection::{ConnectionSupervisor, CurrentConnection};
use joined_lookups::JoinedLookups;
use metrics::{Operation, Outcome};
use reckon_contract::health::STARTING;
use redis::{Client, FromRedisValue, ScriptInvocation};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

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

/// A result to be written.
pub struct Fill {
    /// The user.
    pub user: UserId,
    /// The lease from the look-up that was a miss.
    pub lease: Lease,
    /// The JSON.
    pub body: Bytes,
    /// Tag of the trained model with which the result was computed.
    pub model: u64,
    /// How long it may be served as fresh.
    pub fresh: Duration,
    /// How much longer it may be served while the store is unavailable.
    pub stale: Duration,
}

/// The shared cache did not acknowledge an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the shared cache did not acknowledge the invalidation")]
pub struct Unconfirmed;

/// The cache that processes share.
pub struct SharedCache {
    state: Arc<CurrentConnection>,
    calls: Arc<Calls>,
    lookups: Arc<JoinedLookups>,
    unavailable_reason: watch::Receiver<Option<&'static str>>,
    keeper: JoinHandle<()>,
}

impl SharedCache {
    /// Starts to connect, and always reconnects. `on_invalidation` is called for each invalidation by any process, this
    /// one included.
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
        let calls = Arc::new(Calls {
            identity,
            deadline,
            metrics,
        });
        Self {
            lookups: Arc::new(JoinedLookups::new(Arc::clone(&calls), Arc::clone(&state))),
            state,
            calls,
            unavailable_reason,
            keeper: tokio::spawn(keeping),
        }
    }

    /// Looks up each of `users`, in their order, together with the look-ups of other requests. Entries that were computed with a
    /// model other than `model` are stale.
    pub(crate) async fn get(&self, users: Vec<UserId>, model: u64) -> Vec<Lookup> {
        self.lookups.get(users, model).await
    }

    /// Writes results. The shared cache rejects those whose lease no longer exists.
    pub(crate) async fn fill(&self, fills: Vec<Fill>) {
        let Some(first) = fills.first() else { return };
        let (connection, epoch) = (
            Arc::clone(&first.lease.connection),
            Arc::clone(&first.lease.epoch),
        );
        let mut script = scripts::FILL.key(self.calls.identity.root());
        script.arg(self.calls.identity.variant()).arg(&*epoch);
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
        let deadline = Instant::now() + self.calls.deadline;
        if let Some((filled, rejected)) = self
            .calls
            .run::<(u64, u64)>(&connection, &script, Operation::Fill, deadline)
            .await
        {
            self.calls.metrics.filled.inc_by(filled);
            self.calls.metrics.rejected.inc_by(rejected);
        }
    }

    /// Invalidates in every process. One second after it has returned `Ok`, no attached process serves an older result.
    ///
    /// # Errors
    /// Redis did not acknowledge the invalidation.
    pub(crate) async fn invalidate(&self, what: &Invalidation) -> Result<(), Unconfirmed> {
        let connection = self.state.any().ok_or(Unconfirmed)?;
        let mut script = scripts::INVALIDATE.key(self.calls.identity.root());
        script.arg(self.calls.identity.channel());
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
        self.calls.metrics.ended(Operation::Invalidate, outcome);
        result
    }

    /// Reads the positions of the followers of new rows, one for each of `fields`; `None`: the shared cache did not answer.
    pub(crate) async fn positions(&self, fields: &[&str]) -> Option<Vec<Option<String>>> {
        let mut script = scripts::POSITIONS.key(self.calls.identity.root());
        script.arg(self.calls.identity.variant()).arg(fields);
        let texts: Vec<Option<String>> = self.run_short(&script).await?;
        (texts.len() == fields.len()).then_some(texts)
    }

    /// Stores the positions of the followers of new rows, each under its field. An invalidation of everything deletes them. If
    /// the call fails, the older positions remain. Returns whether it succeeded.
    pub(crate) async fn keep_positions(&self, positions: &[(String, String)]) -> bool {
        let mut script = scripts::KEEP_POSITIONS.key(self.calls.identity.root());
        script.arg(self.calls.identity.variant());
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
