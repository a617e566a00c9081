//! How each table is followed, as `/health` reports it.

use crate::store::new_rows::Followed;
use reckon_contract::tables::Tables;
use std::sync::{Mutex, PoisonError};

/// How a table is followed: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The database has not been queried yet.
    Unknown,
    /// By a column that grows with each new row.
    Sequence,
    /// By time.
    Time,
    /// The table cannot be followed; the log has the reason.
    NotFollowed,
}

impl State {
    /// The text in `/health`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "starting",
            Self::Sequence => "sequence",
            Self::Time => "time",
            Self::NotFollowed => "cannot be followed",
        }
    }

    /// Whether new rows are found.
    #[must_use]
    pub fn is_followed(self) -> bool {
        matches!(self, Self::Sequence | Self::Time)
    }
}

/// The state of both tables; `None`: there is no such table.
#[derive(Debug)]
pub struct Status(Mutex<[Option<State>; 2]>);

impl Status {
    /// The status before the tables are inspected.
    #[must_use]
    pub fn new(tables: &Tables) -> Self {
        let exists = [tables.searches().is_some(), tables.purchases().is_some()];
        Self(Mutex::new(
            exists.map(|exists| exists.then_some(State::Unknown)),
        ))
    }

    /// The state of one table.
    #[must_use]
    pub fn get(&self, of: Followed) -> Option<State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[of as usize]
    }

    /// Changes the state of one table.
    pub(super) fn set(&self, of: Followed, state: State) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[of as usize] = Some(state);
    }
}
