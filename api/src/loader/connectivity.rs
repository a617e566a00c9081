//! Whether the server accepts connections: how many workers have one, and why the last attempt to connect failed.

use super::metrics::LoaderMetrics;
use crate::store::Reason;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Held by a worker while it has a connection; released by a panic too.
pub struct ConnectedGuard(Arc<Connectivity>);

impl Drop for ConnectedGuard {
    fn drop(&mut self) {
        self.0.disconnected();
    }
}

/// Shared by all workers.
pub struct Connectivity {
    state: Mutex<State>,
    metrics: Arc<LoaderMetrics>,
}

#[derive(Default)]
struct State {
    open: u32,
    failure: Option<Reason>,
}

impl Connectivity {
    pub fn new(metrics: Arc<LoaderMetrics>) -> Self {
        Self {
            state: Mutex::default(),
            metrics,
        }
    }

    /// A worker has connected. The connection counts until the guard is dropped.
    pub fn connected(self: &Arc<Self>) -> ConnectedGuard {
        let mut state = self.state();
        state.open += 1;
        state.failure = None;
        self.metrics.open.set(state.open.into());
        drop(state);
        ConnectedGuard(Arc::clone(self))
    }

    fn disconnected(&self) {
        let mut state = self.state();
        state.open = state.open.saturating_sub(1);
        self.metrics.open.set(state.open.into());
    }

    /// A worker failed to connect. It retries until it has a connection.
    pub fn failed(&self, reason: Reason) {
        self.state().failure = Some(reason);
    }

    /// Why no request can be served: no worker has a connection, and the last attempt failed with this reason.
    pub fn unavailable_reason(&self) -> Option<Reason> {
        let state = self.state();
        state.failure.filter(|_| state.open == 0)
    }

    /// Whether no worker has a connection.
    pub fn is_empty(&self) -> bool {
        self.state().open == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
