//! Tracks which cached results are older than an invalidation: one counter for all users and a sharded one for each user.
//!
//! A generation is read before the first look-up of a request and stored with the result of its load. An entry is valid only
//! while its generation is the current one, so an invalidation does not have to find entries or wait for loads.

use crate::model::UserId;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::hash::BuildHasher;

/// Number of counters. Two users who share a counter are invalidated together. That costs one more load, but never returns
/// an old result.
const SHARDS: usize = 1 << 14;

/// The scope of an invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// The data of these users.
    Users(Vec<UserId>),
    /// Everything.
    All,
}

/// The state of a user's data at some moment. Two generations can be compared with `==` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation {
    user: u64,
    all: u64,
}

/// The current generation of every user.
pub struct Generations {
    users: Box<[AtomicU64]>,
    all: AtomicU64,
    hasher: foldhash::fast::RandomState,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            users: std::iter::repeat_with(AtomicU64::default)
                .take(SHARDS)
                .collect(),
            all: AtomicU64::default(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }
}

impl Generations {
    /// The current generation of `user`.
    #[must_use]
    pub fn current(&self, user: &UserId) -> Generation {
        Generation {
            user: self.counter(user).load(SeqCst),
            all: self.all.load(SeqCst),
        }
    }

    /// Invalidates the data of `what` that were loaded so far.
    pub fn apply(&self, what: &Invalidation) {
        match what {
            Invalidation::Users(users) => users.iter().for_each(|user| self.invalidate(user)),
            Invalidation::All => self.invalidate_all(),
        }
    }

    /// Invalidates everything that was loaded for `user` so far.
    pub fn invalidate(&self, user: &UserId) {
        self.counter(user).fetch_add(1, SeqCst);
    }

    /// Invalidates everything that was loaded so far.
    pub(crate) fn invalidate_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of the hash will do"
    )]
    fn counter(&self, user: &UserId) -> &AtomicU64 {
        &self.users[self.hasher.hash_one(user) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, Invalidation};
    use crate::model::UserId;

    #[test]
    fn an_invalidation_changes_the_generation_permanently() {
        let generations = Generations::default();
        let mut seen = vec![generations.current(&UserId::Integer(1))];
        for round in 0..10 {
            match round % 4 {
                0 => generations.invalidate(&UserId::Integer(1)),
                1 => generations.invalidate_all(),
                2 => generations.apply(&Invalidation::Users(vec![
                    UserId::Integer(2),
                    UserId::Integer(1),
                ])),
                _ => generations.apply(&Invalidation::All),
            }
            let now = generations.current(&UserId::Integer(1));
            assert!(!seen.contains(&now));
            seen.push(now);
        }
    }
}
