//! The users of new rows.

use crate::cache::generation::Invalidation;
use crate::model::UserId;
use std::collections::HashSet;

/// Beyond this many users everything is invalidated.
pub const MAX_USERS: usize = 100_000;

/// The users whose cached answers are out of date.
#[derive(Debug, Default)]
pub struct Found {
    users: HashSet<UserId>,
    all: bool,
    /// Number of new rows. Rows after which everything has to be invalidated are not counted.
    pub rows: u64,
    /// Number of gaps that are no longer read, although a row may still appear in them.
    pub dropped_gaps: u64,
}

impl Found {
    /// A row of `user` is new.
    pub fn add(&mut self, user: Option<UserId>) {
        if self.all {
            return;
        }
        self.rows += 1;
        self.users.extend(user);
        if self.users.len() > MAX_USERS {
            self.add_all();
        }
    }

    /// Rows of any user may be new.
    pub fn add_all(&mut self) {
        self.all = true;
        self.users = HashSet::new();
    }

    /// Adds what `other` has found.
    pub fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.dropped_gaps += other.dropped_gaps;
        if other.all {
            self.add_all();
        } else if !self.all {
            self.users.extend(other.users);
        }
        if self.users.len() > MAX_USERS {
            self.add_all();
        }
    }

    /// Whether nothing has to be invalidated.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && self.users.is_empty()
    }

    /// Whether everything has to be invalidated.
    #[cfg(test)]
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// The users, unless everything has to be invalidated.
    pub fn users(&self) -> &HashSet<UserId> {
        &self.users
    }

    /// What to invalidate, in parts of at most `users` users.
    pub fn into_parts(self, users: usize) -> Vec<Invalidation> {
        if self.all {
            return vec![Invalidation::All];
        }
        let users_of_all: Vec<UserId> = self.users.into_iter().collect();
        let parts = users_of_all.chunks(users);
        parts
            .map(|part| Invalidation::Users(part.to_vec()))
            .collect()
    }
}
