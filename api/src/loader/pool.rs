//! How many connections for requests are open, and when another one may be opened or must be closed.
//!
//! `base` connections should always be open. Further ones (up to `most`) are opened while requests wait, and closed
//! when they are surplus. Any worker may have any of the connections. A place of the pool is taken from the attempt to
//! connect until the server has certainly ended the connection. This file has no clock: callers pass the time.

use crate::sync::{Mutex, MutexGuard, PoisonError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// The places for connections for requests.
pub struct Pool {
    base: u32,
    most: u32,
    state: Mutex<State>,
    /// Notified when a request waits and no connection is idle, and after each change that may allow another connection.
    changed: Arc<Notify>,
    /// Notified when connections beyond the base must be closed.
    surplus: Notify,
    complete: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    open: u32,
    opening: u32,
    /// Connections that are closed or lost, but may still be counted by the server.
    closing: u32,
    /// Places taken while connections that are not for requests are replaced.
    spare: u32,
    /// Whether connections beyond the base are allowed.
    permitted: bool,
    draining: bool,
    prober: Seat,
    writer: Seat,
    /// For connections of the base: failed attempts since the last success, and when the next attempt may begin.
    base_retry: Option<Retry>,
    /// The same for connections beyond the base.
    retry: Option<Retry>,
}

#[derive(Clone, Copy)]
struct Retry {
    failures: u32,
    at: Instant,
    /// When the server refused a connection for the first time since the last success.
    refused_since: Option<Instant>,
}

/// A connection of the base that is not for requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seat {
    /// The connection is open, or is missing for a reason other than the server's limit.
    #[default]
    Settled,
    /// The first attempt has not ended.
    Awaited,
    /// The server refused it because of a limit of connections.
    Refused,
}

/// Which seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The connection for probes.
    Prober,
    /// The connection for events.
    Writer,
}

/// Whether a worker may connect now.
pub enum Begin {
    /// The worker may connect now; the place is taken.
    Now(Attempt),
    /// Not before this time, unless something changes.
    Later(Instant),
    /// Not before something changes.
    Wait,
}

impl State {
    fn taken(&self) -> u32 {
        self.open + self.opening + self.closing + self.spare
    }

    /// Whether connections beyond the base must be closed although requests wait.
    fn must_give_way(&self) -> bool {
        !self.permitted || self.prober == Seat::Refused || self.writer == Seat::Refused
    }

    fn is_complete(&self, base: u32) -> bool {
        self.open >= base && self.prober != Seat::Refused && self.writer == Seat::Settled
    }
}

impl Pool {
    /// Places for `most` connections, of which `base` should always be open; `changed` is notified when a request
    /// waits.
    pub fn new(base: u32, most: u32, changed: Arc<Notify>) -> Self {
        Self {
            base,
            most,
            state: Mutex::new(State {
                permitted: true,
                ..State::default()
            }),
            changed,
            surplus: Notify::new(),
            complete: watch::Sender::new(false),
        }
    }

    /// Takes a place for a new connection if one is allowed. `waiting` is the number of requests that wait for a
    /// connection.
    pub fn begin(self: &Arc<Self>, waiting: usize, now: Instant) -> Begin {
        let mut state = self.state();
        if state.taken() >= self.most {
            return Begin::Wait;
        }
        let is_base = state.open + state.opening < self.base;
        let retry = if is_base {
            state.base_retry
        } else {
            let is_served = u32::try_from(waiting).is_ok_and(|waiting| waiting <= state.opening);
            if is_served || state.draining || state.must_give_way() {
                return Begin::Wait;
            }
            state.retry
        };
        match retry {
            Some(retry) if now < retry.at => return Begin::Later(retry.at),
            // One attempt at a time.
            Some(_) if state.opening > 0 => return Begin::Wait,
            _ => state.opening += 1,
        }
        Begin::Now(Attempt {
            pool: Arc::clone(self),
            is_base,
            failures: retry.map_or(0, |retry| retry.failures),
        })
    }

    /// Takes a place for the replacement of a connection that is not for requests.
    pub fn spare(self: &Arc<Self>) -> Option<Spare> {
        let mut state = self.state();
        (state.taken() < self.most).then(|| {
            state.spare += 1;
            Spare(Arc::clone(self))
        })
    }

    /// Takes a place for a connection that was lost, and that the server may still count.
    pub fn quarantine(self: &Arc<Self>) -> Closing {
        self.change(|state| state.closing += 1);
        Closing(Arc::clone(self))
    }

    /// Notified when a request waits and no connection is idle, and after each change.
    pub fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Notified when connections beyond the base must be closed.
    pub fn surplus(&self) -> &Notify {
        &self.surplus
    }

    /// Whether a connection should be closed as soon as it is idle.
    pub fn has_surplus(&self) -> bool {
        let state = self.state();
        state.open > self.base && (state.draining || state.must_give_way())
    }

    /// Whether a connection should be closed although requests wait.
    pub fn must_give_way(&self) -> bool {
        let state = self.state();
        state.open > self.base && state.must_give_way()
    }

    /// The state of a connection of the base that is not for requests.
    pub fn seat(&self, role: Role, seat: Seat) {
        self.change(|state| match role {
            Role::Prober => state.prober = seat,
            Role::Writer => state.writer = seat,
        });
    }

    /// Whether the server's limit of connections allows connections beyond the base.
    pub fn permit(&self, permitted: bool) {
        self.change(|state| state.permitted = permitted);
    }

    /// From now on, connections beyond the base are closed when they are idle, and none is opened.
    pub fn drain(&self) {
        self.change(|state| state.draining = true);
    }

    /// Whether the base is complete.
    pub fn complete(&self) -> watch::Receiver<bool> {
        self.complete.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        let is_complete = state.is_complete(self.base);
        let has_surplus = state.draining || state.must_give_way();
        self.complete
            .send_if_modified(|complete| std::mem::replace(complete, is_complete) != is_complete);
        drop(state);
        if has_surplus {
            self.surplus.notify_waiters();
        }
        self.changed.notify_waiters();
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt to connect. If it is dropped, its place is free again.
pub struct Attempt {
    pool: Arc<Pool>,
    is_base: bool,
    failures: u32,
}

impl Attempt {
    /// Whether it is for a connection of the base.
    pub fn is_base(&self) -> bool {
        self.is_base
    }

    /// Attempts that failed since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The attempt succeeded. If the server had refused connections beyond the base, also returns the time of the first
    /// refusal.
    pub fn opened(self) -> (Place, Option<Instant>) {
        let pool = Arc::clone(&self.pool);
        let is_base = self.is_base;
        let refused_since = pool.change(|state| {
            state.open += 1;
            state.base_retry = None;
            let retry = if is_base { None } else { state.retry.take() };
            retry.and_then(|retry| retry.refused_since)
        });
        (Place(Some(pool)), refused_since)
    }

    /// The attempt failed; the next one may begin after `pause`. Returns whether the server refuses connections beyond the base
    /// for the first time.
    pub fn failed(self, is_refused: bool, now: Instant, pause: Duration) -> bool {
        let is_base = self.is_base;
        self.pool.change(|state| {
            let retry = if is_base {
                &mut state.base_retry
            } else {
                &mut state.retry
            };
            let before = retry.and_then(|retry| retry.refused_since);
            *retry = Some(Retry {
                failures: retry.map_or(0, |retry| retry.failures).saturating_add(1),
                at: now + pause,
                refused_since: before.or(is_refused.then_some(now)),
            });
            is_refused && !is_base && before.is_none()
        })
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.pool.change(|state| state.opening -= 1);
    }
}

/// The place of an open connection. If a panic drops it, the place counts as free.
pub struct Place(Option<Arc<Pool>>);

impl Place {
    /// The connection is closed or lost; the server may still count it.
    pub fn lost(mut self) -> Option<Closing> {
        let pool = self.0.take()?;
        pool.change(|state| {
            state.open -= 1;
            state.closing += 1;
        });
        Some(Closing(pool))
    }

    /// Like [`Self::lost`], but only if the connection is surplus: beyond the base, and idle for a long time
    /// (`is_idle`) or no longer permitted.
    ///
    /// # Errors
    /// The place, if the connection stays open.
    pub fn release(mut self, is_idle: bool) -> Result<Closing, Self> {
        let Some(pool) = self.0.take() else {
            return Err(self);
        };
        let is_surplus = pool.change(|state| {
            let may_close = is_idle || state.draining || state.must_give_way();
            let is_surplus = state.open > pool.base && may_close;
            if is_surplus {
                state.open -= 1;
                state.closing += 1;
            }
            is_surplus
        });
        if is_surplus {
            Ok(Closing(pool))
        } else {
            Err(Self(Some(pool)))
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = &self.0 {
            pool.change(|state| state.open -= 1);
        }
    }
}

/// The place of a connection that the server may still count. It is free when this is dropped.
pub struct Closing(Arc<Pool>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.change(|state| state.closing -= 1);
    }
}

/// A place that a connection takes while it is replaced. It is free when this is dropped.
pub struct Spare(Arc<Pool>);

impl Drop for Spare {
    fn drop(&mut self) {
        self.0.change(|state| state.spare -= 1);
    }
}
