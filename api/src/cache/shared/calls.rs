//! Calls of the scripts that requests wait for.

use super::connection::Connection;
use super::entry::{self, DecodeError, Found, token};
use super::key_names::{self, Identity};
use super::lookup::{Lease, Lookup};
use super::metrics::{Operation, Outcome, SharedMetrics};
use super::scripts;
use crate::model::UserId;
use redis::{FromRedisValue, RedisError, ScriptInvocation, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Maximum time between reading a lease and writing with it.
const LEASE_MILLISECONDS: u32 = 10_000;

/// Calls scripts, each within the deadline.
pub struct Calls {
    pub identity: Identity,
    pub deadline: Duration,
    pub metrics: Arc<SharedMetrics>,
}

impl Calls {
    /// Looks up each of `users`, in their order, in one round trip. Entries that were computed with a model other than `model`
    /// are stale. `None`: Redis did not answer, or has no epoch.
    pub async fn read(
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
        // A server without free memory that has lost its epoch returns nothing. A replica returns nothing either.
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
                    // The script in Redis treated the entry as fresh.
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

    /// Runs a script within the deadline; a failure is counted, and several in a row open the circuit breaker.
    pub async fn run<T: FromRedisValue>(
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
        // The body is copied unchanged into the answer of a batch, so it must be valid JSON.
        Ok(found) if is_json(&found.body) => Ok(Some(found)),
        Ok(_) | Err(DecodeError::Unreadable) => Err(Unreadable),
        Err(DecodeError::OtherEpoch) => Ok(None),
    }
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

#[cfg(test)]
mod tests {
    use super::understand;
    use crate::cache::shared::entry::{TOKEN_LENGTH, encode};
    use crate::model::UserId;
    use redis::Value;
    use std::time::Duration;

    #[test]
    fn an_entry_whose_body_is_not_json_is_unreadable() {
        let (user, epoch, minute) = (
            UserId::Integer(7),
            "e".repeat(TOKEN_LENGTH),
            Duration::from_mins(1),
        );
        let found = |body: &[u8]| {
            let bytes = encode(&user, &epoch, (body, 0), minute, minute);
            understand(&user, Value::BulkString(bytes), Value::Int(90_000), &epoch)
                .map(|found| found.is_some())
        };
        assert!(found(br#"{"user_id":7}"#).is_ok_and(|is_found| is_found));
        for body in [br#"{"user_id":7"#.as_slice(), b"", b"{}{}", b"\xff"] {
            assert!(found(body).is_err(), "{body:?}");
        }
    }
}
