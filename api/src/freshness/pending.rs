//! Invalidations that the shared cache has not acknowledged yet.

use super::found::{Found, MAX_USERS};
use crate::cache::generation::Invalidation;
use crate::recommend::Recommender;
use std::collections::VecDeque;

/// Users of one message.
const USERS_PER_MESSAGE: usize = 500;

/// Invalidations that this process has applied to its own cache.
#[derive(Default)]
pub struct Pending(VecDeque<Invalidation>);

impl Pending {
    /// Invalidates `found` in this process. [`Pending::flush`] invalidates it in the other processes.
    pub fn add(&mut self, found: Found, recommender: &Recommender) {
        let users = (self.0.len() * USERS_PER_MESSAGE).saturating_add(found.users().len());
        let parts = if users > MAX_USERS && !found.is_empty() {
            vec![Invalidation::All]
        } else {
            found.into_parts(USERS_PER_MESSAGE)
        };
        for part in parts {
            recommender.invalidate_here(&part);
            if part == Invalidation::All {
                self.0.clear();
            } else if self.0.front() == Some(&Invalidation::All) {
                continue;
            }
            self.0.push_back(part);
        }
    }

    /// Whether every invalidation was acknowledged.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends the pending invalidations. Returns whether all invalidations were acknowledged; if not, the call may be
    /// repeated.
    pub async fn flush(&mut self, recommender: &Recommender) -> bool {
        while let Some(part) = self.0.front() {
            if recommender.invalidate_elsewhere(part).await.is_err() {
                return false;
            }
            self.0.pop_front();
        }
        true
    }
}
