//! The session of a training, in either database.

use super::error::Error;
use super::mysql::MySql;
use super::sqlite::Sqlite;
use super::window::Window;
use crate::model::Day;
use crate::store::location::Location;
use reckon_contract::tables::{Table, UserIdType};
use std::time::Duration;

/// The session.
pub enum Database {
    /// A session of a server.
    MySql(Box<MySql>),
    /// A session of a file.
    Sqlite(Sqlite),
}

impl Database {
    /// Opens a session for reading.
    pub async fn open(location: &Location, statement_timeout: Duration) -> Result<Self, Error> {
        Ok(match location {
            Location::MySql(address) => {
                Self::MySql(Box::new(MySql::open(address, statement_timeout).await?))
            }
            Location::Sqlite(path) => Self::Sqlite(Sqlite::open(path, true).await?),
        })
    }

    /// Opens a session for reading and for publishing. On a server, no other training of the same database can run
    /// meanwhile.
    pub async fn open_for_publishing(
        location: &Location,
        statement_timeout: Duration,
    ) -> Result<Self, Error> {
        Ok(match location {
            Location::MySql(address) => {
                let mut session = MySql::open(address, statement_timeout).await?;
                session.lock().await?;
                session.ensure_table().await?;
                Self::MySql(Box::new(session))
            }
            Location::Sqlite(path) => {
                let mut session = Sqlite::open(path, false).await?;
                session.ensure_table().await?;
                Self::Sqlite(session)
            }
        })
    }

    /// The newest model: its digest and document.
    pub async fn published(&mut self) -> Result<Option<(String, Vec<u8>)>, Error> {
        match self {
            Self::MySql(session) => session.published().await,
            Self::Sqlite(session) => session.published().await,
        }
    }

    /// The newest day of a row of `purchases` that is not in the future.
    pub async fn newest_day(&mut self, purchases: &Table) -> Result<Option<Day>, Error> {
        match self {
            Self::MySql(session) => session.newest_day(purchases).await,
            Self::Sqlite(session) => session.newest_day(purchases).await,
        }
    }

    /// Begins a snapshot: from here on, later changes of rows are not visible.
    pub async fn begin_reading(&mut self) -> Result<(), Error> {
        match self {
            Self::MySql(session) => session.begin_reading().await,
            Self::Sqlite(session) => session.begin_reading().await,
        }
    }

    /// Ends the snapshot of [`begin_reading`](Self::begin_reading).
    pub async fn end_reading(&mut self) -> Result<(), Error> {
        match self {
            Self::MySql(session) => session.end_reading().await,
            Self::Sqlite(session) => session.end_reading().await,
        }
    }

    /// Calls `take` with user ([`crate::training::user::number`]), time (as `TO_SECONDS` counts) and category of each row in the window, in any order.
    pub async fn read(
        &mut self,
        table: &Table,
        ids: UserIdType,
        window: Window,
        take: impl FnMut(i64, i64, Option<&str>),
    ) -> Result<(), Error> {
        match self {
            Self::MySql(session) => session.read(table, ids, window, take).await,
            Self::Sqlite(session) => session.read(table, ids, window, take).await,
        }
    }

    /// Publishes a document, unless a document newer than `known` was published. If `replaces` is set, the row of
    /// `known` is deleted.
    pub async fn publish(
        &mut self,
        known: Option<&str>,
        document: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        match self {
            Self::MySql(session) => session.publish(known, document, replaces).await,
            Self::Sqlite(session) => session.publish(known, document, replaces).await,
        }
    }

    /// Closes the session.
    pub async fn close(self) {
        match self {
            Self::MySql(session) => session.close().await,
            Self::Sqlite(session) => session.close().await,
        }
    }
}
