//! Whether the server lets the slots in: how many have a connection, and why the last that asked for one got none.

use super::metrics::LoaderMetrics;
use crate::store::Reason;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a slot holds as long as it has a connection; a panic gives it back too.
pub struct Pass(Arc<Door>);

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Shared by all slots.
pub struct Door {
    state: Mutex<State>,
    metrics: Arc<LoaderMetrics>,
}

#[derive(Default)]
struct State {
    inside: u32,
    refused: Option<Reason>,
}

impl Door {
    pub fn new(metrics: Arc<LoaderMetrics>) -> Self {
        Self {
            state: Mutex::default(),
            metrics,
        }
    }

    /// A slot got a connection, which counts until the pass is dropped.
    pub fn enter(self: &Arc<Self>) -> Pass {
        let mut state = self.state();
        state.inside += 1;
        state.refused = None;
        self.metrics.open.set(state.inside.into());
        drop(state);
        Pass(Arc::clone(self))
    }

    fn left(&self) {
        let mut state = self.state();
        state.inside = state.inside.saturating_sub(1);
        self.metrics.open.set(state.inside.into());
    }

    /// A slot asked for a connection and got none; it goes on asking until it has one.
    pub fn refused(&self, reason: Reason) {
        self.state().refused = Some(reason);
    }

    /// Why nobody can be served: no slot has a connection, and the last that asked got none.
    pub fn shut(&self) -> Option<Reason> {
        let state = self.state();
        state.refused.filter(|_| state.inside == 0)
    }

    /// Whether no slot has a connection.
    pub fn is_empty(&self) -> bool {
        self.state().inside == 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
