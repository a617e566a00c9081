//! The source of histories: MySQL (MariaDB) or SQLite.
//!
//! A store only reads. [`mod@write`] stores events and erases users. `migrate`, `demo` and `import` create tables and fill them.

pub mod location;
pub mod mysql;
pub mod new_rows;
pub mod sqlite;
pub mod write;

use crate::model::{History, UserId};
use crate::trained::Published;
use new_rows::{Answer, Followed, Question};
pub use reckon_contract::health::Reason;
use reckon_contract::tables::Table;
use std::{future::Future, time::Duration};

/// A database with the two tables.
pub trait Store: Send + Sync + 'static {
    /// One session.
    type Connection: Connection;

    /// Maximum number of users that one statement can read.
    const USERS_PER_STATEMENT: usize;

    /// Time after which the server has ended any statement.
    fn statement_limit(&self) -> Duration;

    /// Opens a session with the server-side limits set.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;
}

/// How many connections a server allows an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimit {
    /// The first 64 bits of the SHA-256 of the account's name and host.
    pub account: u64,
    /// 0: the server does not limit or count the session.
    pub connections: u32,
}

/// One session of a [`Store`]. It runs one statement at a time and is unusable if a call was not awaited to its end.
pub trait Connection: Send + Sync + 'static {
    /// The histories of `users` (1 to [`Store::USERS_PER_STATEMENT`]), in their order, each with at most `length` rows
    /// of each table.
    fn histories(
        &mut self,
        users: &[UserId],
        length: u32,
    ) -> impl Future<Output = Result<Vec<History>, Error>> + Send;

    /// Succeeds if both tables can be read; cheap.
    fn probe(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The published model with its digest, unless that is `known`. A missing table, or no privilege to read it, is
    /// [`Published::Nothing`].
    fn model(
        &mut self,
        known: Option<&str>,
    ) -> impl Future<Output = Result<(Option<String>, Published), Error>> + Send;

    /// The answer to a question about new rows of the table `of`.
    fn new_rows(
        &mut self,
        of: Followed,
        question: &Question,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;

    /// Keeps the session from being closed for idleness.
    fn ping(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// How many connections the server allows the session's account: at the opening, or at the last probe of this session.
    /// `None`: the store has no such limit.
    fn account_limit(&self) -> Option<AccountLimit> {
        None
    }

    /// Product and version of the server, for logs and messages.
    fn describe(&self) -> String;

    /// Ends the session with a message to the server.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// The line that `migrate` prints about a view.
pub(crate) fn view(table: &Table) -> String {
    format!(
        "{}: is a view, which cannot have an index; create one on ({}) of the table that it reads",
        table.name,
        table.read_columns().join(", ")
    )
}

/// A failed operation of a store.
#[derive(Debug, thiserror::Error)]
#[error("{}", .reason.as_str())]
pub struct Error {
    /// What failed.
    pub reason: Reason,
    /// Whether the session is still usable.
    pub scope: Scope,
    /// The driver's error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// The scope of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Only this statement failed: the session remains usable.
    Statement,
    /// The session is lost; the server runs no statement of it.
    Session,
    /// The session is lost without a message from the server, which may still be running its statement.
    Abandoned,
}
