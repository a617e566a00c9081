//! Which answers are from before an invalidation: one counter for all users and a sharded one for each.
//!
//! A generation is read before the first look-up of a request and stored with what the request loads. An entry counts
//! only while its generation is the current one, so an invalidation has nothing to find and nothing to wait for.

use crate::model::UserId;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::hash::BuildHasher;

/// Counters; two users that share one are invalidated together, which costs a load and never an old answer.
const SHARDS: usize = 1 << 14;

/// What is invalid from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// What is known of these users.
    Users(Vec<UserId>),
    /// Everything.
    All,
}

/// The state of a user's data as of some moment; comparable with `==` only.
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
    /// The generation of `user` now.
    #[must_use]
    pub fn current(&self, user: UserId) -> Generation {
        Generation {
            user: self.counter(user).load(SeqCst),
            all: self.all.load(SeqCst),
        }
    }

    /// Makes what was loaded until now count no more.
    pub fn forget(&self, what: &Invalidation) {
        match what {
            Invalidation::Users(users) => users.iter().for_each(|user| self.invalidate(*user)),
            Invalidation::All => self.invalidate_all(),
        }
    }

    /// Makes everything that was loaded for `user` until now count no more.
    pub fn invalidate(&self, user: UserId) {
        self.counter(user).fetch_add(1, SeqCst);
    }

    /// Makes everything that was loaded until now count no more.
    pub(crate) fn invalidate_all(&self) {
        self.all.fetch_add(1, SeqCst);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "any bits of the hash will do"
    )]
    fn counter(&self, user: UserId) -> &AtomicU64 {
        &self.users[self.hasher.hash_one(user) as usize % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::{Generations, Invalidation};
    use crate::model::UserId;

    #[test]
    fn an_invalidation_changes_the_generation_for_good() {
        let generations = Generations::default();
        let mut seen = vec![generations.current(UserId(1))];
        for round in 0..10 {
            match round % 4 {
                0 => generations.invalidate(UserId(1)),
                1 => generations.invalidate_all(),
                2 => generations.forget(&Invalidation::Users(vec![UserId(2), UserId(1)])),
                _ => generations.forget(&Invalidation::All),
            }
            let now = generations.current(UserId(1));
            assert!(!seen.contains(&now));
            seen.push(now);
        }
    }
}
