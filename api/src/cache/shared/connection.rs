//! The connection to Redis: re-established after each loss, and confirmed by a heartbeat every 300 ms.
//!
//! Commands, messages and heartbeats share one connection (RESP3). Replies arrive in order, so the reply to a heartbeat
//! proves that every earlier message has been received.

use super::entry::token;
use super::heartbeat::Heartbeat;
use super::key_names::{self, Identity};
use super::metrics::SharedMetrics;
use super::scripts;
use crate::cache::generation::Invalidation;
use crate::model::UserId;
use reckon_contract::tables::UserIdType;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind,
};
use std::error::Error as _;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// Time between two heartbeats.
const HEARTBEAT_PERIOD: Duration = Duration::from_millis(300);
/// Without a reply for this long, the connection is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
/// Maximum time for a new connection, until it is subscribed.
const SETUP_TIMEOUT: Duration = Duration::from_millis(700);
/// Minimum and maximum pause before the next attempt. A failed attempt and the maximum pause together take well below 2
/// s, so a Redis that recovers is used within 2 s.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Failures in a row after which Redis is not used until a heartbeat is answered quickly (circuit breaker).
const BREAKS_AFTER: u32 = 3;
/// Slow heartbeats in a row after which a warning is logged.
const SLOW_AFTER: u32 = 3;

/// One connection.
pub struct Connection {
    pub multiplexed: MultiplexedConnection,
    pub failures: Failures,
    /// The server has closed the connection.
    lost: Arc<Notify>,
}

/// Failed operations in a row.
#[derive(Default)]
pub struct Failures(AtomicU32);

impl Failures {
    /// An operation ended.
    pub fn note(&self, succeeded: bool) {
        if succeeded {
            self.0.store(0, SeqCst);
        } else {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// Stops using Redis until a heartbeat is answered quickly.
    fn rest(&self) {
        self.0.store(BREAKS_AFTER, SeqCst);
    }

    fn are_few(&self) -> bool {
        self.0.load(SeqCst) < BREAKS_AFTER
    }
}

/// The current connection, if there is one, and whether it may be used.
pub struct CurrentConnection {
    current: RwLock<Option<Arc<Connection>>>,
    heartbeat: Arc<Heartbeat>,
    metrics: Arc<SharedMetrics>,
}

impl CurrentConnection {
    pub fn new(metrics: Arc<SharedMetrics>) -> Self {
        let heartbeat = Arc::new(Heartbeat::default());
        metrics.watch(&heartbeat);
        Self {
            current: RwLock::default(),
            heartbeat,
            metrics,
        }
    }

    /// The connection, even if it is slow.
    pub fn any(&self) -> Option<Arc<Connection>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The connection if it answers in time.
    pub fn usable(&self) -> Option<Arc<Connection>> {
        self.any()
            .filter(|connection| connection.failures.are_few())
    }

    /// Whether this process has received all invalidations that were made more than a second ago.
    pub fn is_attached(&self) -> bool {
        self.heartbeat.is_recent()
    }

    /// Gives up the connection.
    pub fn close(&self) {
        self.set(None);
    }

    fn set(&self, connection: Option<Arc<Connection>>) {
        if connection.is_none() {
            self.heartbeat.reset();
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

/// Keeps a connection open.
pub struct ConnectionSupervisor<F> {
    pub client: Client,
    /// The server's address, for logs.
    pub server: String,
    pub identity: Identity,
    pub state: Arc<CurrentConnection>,
    /// An operation that takes longer counts as failed.
    pub deadline: Duration,
    /// Called for each invalidation; must not block.
    pub on_invalidation: F,
    /// Why there is no connection.
    pub unavailable_reason: watch::Sender<Option<&'static str>>,
}

impl<F: Fn(Invalidation) + Clone + Send + Sync + 'static> ConnectionSupervisor<F> {
    /// Keeps a connection open, without end.
    pub async fn run(self: Arc<Self>) {
        // A panic may have left a connection behind that no task confirms any more.
        self.state.close();
        let mut backoff = BACKOFF.0;
        loop {
            let error = match timeout(SETUP_TIMEOUT, self.connect()).await {
                Ok(Ok((connection, confirmed))) => {
                    backoff = BACKOFF.0;
                    // Invalidations sent while there was no connection were missed, so everything older is invalid.
                    (self.on_invalidation)(Invalidation::All);
                    self.state.set(Some(Arc::clone(&connection)));
                    self.state.heartbeat.confirm(confirmed);
                    // This is reported last, so that `/health` says "connected" only when requests can use the
                    // connection.
                    self.report(None);
                    let error = self.heartbeats(&connection).await;
                    self.state.set(None);
                    error
                }
                Ok(Err(error)) => error,
                Err(_elapsed) => unanswered(),
            };
            self.report(Some(&error));
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF.1);
        }
    }

    /// A subscribed connection, and when it was first confirmed.
    async fn connect(&self) -> Result<(Arc<Connection>, Instant), RedisError> {
        let on_invalidation = self.on_invalidation.clone();
        let metrics = Arc::clone(&self.state.metrics);
        let ids = self.identity.ids();
        let lost = Arc::new(Notify::new());
        let notice = Arc::clone(&lost);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(SETUP_TIMEOUT))
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                match push.kind {
                    PushKind::Message => {
                        metrics.received.inc();
                        on_invalidation(invalidation(&push, ids));
                    }
                    PushKind::Disconnection => notice.notify_one(),
                    _ => {}
                }
                Ok::<(), std::convert::Infallible>(())
            });
        let mut multiplexed = self
            .client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        multiplexed.subscribe(self.identity.channel()).await?;
        let sent = Instant::now();
        self.heartbeat(&mut multiplexed).await?;
        // A test that reads no users. It fails if the account may not run scripts.
        let mut read = scripts::READ.key(self.identity.root());
        read.arg(self.identity.variant()).arg(token());
        read.arg(token()).arg(0);
        read.invoke_async::<()>(&mut multiplexed).await?;
        let connection = Connection {
            multiplexed,
            failures: Failures::default(),
            lost,
        };
        Ok((Arc::new(connection), sent))
    }

    /// Sends a write that changes nothing. A server that cannot invalidate, such as a replica, rejects the write. A
    /// server without free memory accepts it.
    async fn heartbeat(&self, redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.identity.nothing());
        command.query_async(redis).await
    }

    async fn heartbeats(&self, connection: &Connection) -> RedisError {
        let mut multiplexed = connection.multiplexed.clone();
        let mut slow = 0;
        loop {
            // If the connection was closed, the heartbeat fails at once.
            timeout(HEARTBEAT_PERIOD, connection.lost.notified())
                .await
                .ok();
            let sent = Instant::now();
            let heartbeat = self.heartbeat(&mut multiplexed);
            tokio::pin!(heartbeat);
            let (answer, in_time) = match timeout(self.deadline, &mut heartbeat).await {
                Ok(answer) => (Ok(answer), true),
                Err(_elapsed) => {
                    connection.failures.rest();
                    (timeout(GIVE_UP_AFTER, heartbeat).await, false)
                }
            };
            match answer {
                Ok(Ok(())) => self.state.heartbeat.confirm(sent),
                Ok(Err(error)) => return error,
                Err(_elapsed) => return unanswered(),
            }
            if in_time {
                connection.failures.note(true);
                slow = 0;
                self.report(None);
            } else {
                slow += 1;
                if slow == SLOW_AFTER {
                    self.slow();
                }
            }
        }
    }

    fn slow(&self) {
        const REASON: &str = "slow";
        if self.unavailable_reason.send_replace(Some(REASON)) != Some(REASON) {
            let server = &self.server;
            warn!(server, reason = REASON, "shared cache not used");
        }
    }

    /// Logs once that the shared cache is unavailable, and once that it is connected again.
    fn report(&self, error: Option<&RedisError>) {
        let reason = error.map(reason);
        let before = self.unavailable_reason.send_replace(reason);
        match error {
            Some(error) if before != reason => {
                warn!(server = self.server, reason, %error, "shared cache unavailable");
            }
            None if before.is_some() => info!(server = self.server, "shared cache connected"),
            _ => {}
        }
    }
}

/// The reason of a failure, from a closed set.
fn reason(error: &RedisError) -> &'static str {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(ServerErrorKind::NoPerm) => {
            "access denied"
        }
        ErrorKind::Server(ServerErrorKind::ReadOnly) => "read-only",
        ErrorKind::Server(ServerErrorKind::BusyLoading) => "loading",
        ErrorKind::RESP3NotSupported => "older than Redis 6",
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => "access denied",
        _ if is_tls(error) => "TLS",
        _ if error.is_timeout() => "timeout",
        ErrorKind::Io => "unreachable",
        _ => "other",
    }
}

/// Whether the TLS handshake failed, for example because the certificate is not trusted.
fn is_tls(error: &RedisError) -> bool {
    // `source()` returns the `Arc` around the cause, not the cause.
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>());
    cause
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::get_ref)
        .is_some_and(|cause| cause.downcast_ref::<rustls::Error>().is_some())
}

fn unanswered() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Decodes a message. An unknown message invalidates everything, because it could mean anything.
fn invalidation(push: &PushInfo, ids: UserIdType) -> Invalidation {
    let text: Option<String> = push
        .data
        .get(1)
        .and_then(|value| redis::from_redis_value_ref(value).ok());
    let users = text
        .as_deref()
        .unwrap_or_default()
        .split(key_names::SEPARATOR)
        .map(|text| UserId::parse(text, ids));
    users
        .collect::<Result<_, _>>()
        .map_or(Invalidation::All, Invalidation::Users)
}

#[cfg(test)]
mod tests {
    use super::{CurrentConnection, Failures, Invalidation, invalidation, reason, unanswered};
    use crate::metrics::Metrics;
    use crate::model::UserId;
    use reckon_contract::Tuning;
    use reckon_contract::tables::UserIdType;
    use redis::{ErrorKind, PushInfo, PushKind, RedisError, Value};
    use std::sync::Arc;
    use tokio::time::Instant;

    #[test]
    fn redis_is_bypassed_after_three_consecutive_failures_or_a_slow_heartbeat() {
        let failures = Failures::default();
        for _ in 0..2 {
            failures.note(false);
            failures.note(false);
            assert!(failures.are_few());
            failures.note(true);
        }
        for _ in 0..3 {
            failures.note(false);
        }
        assert!(!failures.are_few());
        failures.note(true);
        assert!(failures.are_few());
        failures.rest();
        assert!(!failures.are_few());
    }

    #[tokio::test]
    async fn without_a_connection_the_process_is_detached() {
        let state = CurrentConnection::new(Arc::clone(&Metrics::new(&Tuning::default()).shared));
        assert!(!state.is_attached());
        state.heartbeat.confirm(Instant::now());
        assert!(state.is_attached());
        state.close();
        assert!(!state.is_attached());
    }

    #[test]
    fn redis_errors_have_a_reason_from_a_closed_set() {
        let said = |text: &str| {
            let answer = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap();
            answer.extract_error().unwrap_err()
        };
        let io = |kind| RedisError::from(std::io::Error::from(kind));
        for (error, expected) in [
            (said("NOPERM this user has no permissions"), "access denied"),
            (said("NOAUTH Authentication required."), "access denied"),
            (
                said("WRONGPASS invalid username-password pair"),
                "access denied",
            ),
            (
                said("READONLY You can't write against a read only replica."),
                "read-only",
            ),
            (
                said("LOADING Redis is loading the dataset in memory"),
                "loading",
            ),
            (said("ERR something else"), "other"),
            (
                RedisError::from((ErrorKind::AuthenticationFailed, "no")),
                "access denied",
            ),
            (
                RedisError::from((ErrorKind::RESP3NotSupported, "no")),
                "older than Redis 6",
            ),
            (io(std::io::ErrorKind::ConnectionRefused), "unreachable"),
            (
                std::io::Error::other(rustls::Error::DecryptError).into(),
                "TLS",
            ),
            (unanswered(), "timeout"),
        ] {
            assert_eq!(reason(&error), expected, "{error:?}");
        }
    }

    fn parsed(text: &str, ids: UserIdType) -> Invalidation {
        let data = [b"channel".as_slice(), text.as_bytes()];
        let push = PushInfo {
            kind: PushKind::Message,
            data: data
                .iter()
                .map(|part| Value::BulkString(part.to_vec()))
                .collect(),
        };
        invalidation(&push, ids)
    }

    #[test]
    fn a_message_invalidates_users_or_everything() {
        let integers = |text| parsed(text, UserIdType::Integer);
        assert_eq!(
            integers("1\n-2"),
            Invalidation::Users(vec![UserId::Integer(1), UserId::Integer(-2)])
        );
        for text in ["", "all", "1\nnonsense", "1,2"] {
            assert_eq!(integers(text), Invalidation::All, "{text:?}");
        }
        let text = |id: &str| UserId::Text(id.into());
        assert_eq!(
            parsed("all\na,b\n 1", UserIdType::Text),
            Invalidation::Users(vec![text("all"), text("a,b"), text(" 1")])
        );
        assert_eq!(parsed("", UserIdType::Text), Invalidation::All);
    }
}
