//! Why nothing was trained or published.

use crate::store::{self, mysql::model_table};
use crate::training;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why nothing was trained or published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A statement failed.
    #[error("failed to {0}")]
    Statement(Cow<'static, str>, #[source] sqlx::Error),
    /// The database did not answer.
    #[error("failed to {doing}: no answer within {} s", limit.as_secs_f64())]
    TimedOut {
        /// The action in progress.
        doing: Cow<'static, str>,
        /// The time that passed without an answer.
        limit: Duration,
    },
    /// The server ended a statement at its limit.
    #[error("failed to {0}: the statement took longer than --statement-timeout allows")]
    Limit(Cow<'static, str>, #[source] sqlx::Error),
    /// There is no SQLite file.
    #[error("there is no data at {}: set DB_HOST to use MySQL, or --data to use another file", .0.display())]
    NoFile(PathBuf),
    /// The SQLite file cannot be opened.
    #[error("failed to open {}", .0.display())]
    Open(PathBuf, #[source] store::Error),
    /// Another training of the same database is running.
    #[error(
        "another training of this database is running: it holds the lock {0}; retry when it has ended"
    )]
    Locked(String),
    /// There is no table for models, and it cannot be created.
    #[error(
        "there is no table {table}, and this account may not create it: run `reckon-api migrate` with an account that may, or \
         use --output to write the model to a file",
        table = model_table::NAME
    )]
    NoTable(#[source] sqlx::Error),
    /// The existing table of this name is not Reckon's.
    #[error(
        "the table {table} has no column {0}: Reckon uses {columns}",
        table = model_table::NAME, columns = model_table::COLUMNS.join(", ")
    )]
    OtherTable(&'static str),
    /// The account may not write models.
    #[error(
        "this account may not publish a model: it needs SELECT, INSERT and DELETE on the table {table}; or use --output to write \
         the model to a file",
        table = model_table::NAME
    )]
    Denied(#[source] sqlx::Error),
    /// The tuning file says that there is no table with purchases.
    #[error(
        "there is no table with purchases: tables.purchases.table is empty in the tuning file; only purchases can be learnt"
    )]
    NoPurchases,
    /// No row of the table has a valid date.
    #[error(
        "there is nothing to train on: no row of {0} has a valid date that is not in the future"
    )]
    NoRows(String),
    /// The rows give no model.
    #[error("failed to train a model")]
    Training(#[source] training::Error),
    /// The server's packets are too small for the document.
    #[error(
        "the model has {size} bytes, and the server accepts packets of {packet}: set max_allowed_packet to at least {needed} \
         on the server, or use --output to write the model to a file"
    )]
    Packet {
        /// Bytes of the document.
        size: usize,
        /// The server's `max_allowed_packet` in bytes.
        packet: u64,
        /// Bytes that are needed.
        needed: u64,
    },
    /// Another model was published since this training began.
    #[error("another model was published while this one was trained; the newer one stays")]
    Overtaken,
    /// The answer to COMMIT was lost.
    #[error(
        "the database did not confirm the model: it is published as a whole or not at all; retry"
    )]
    Unconfirmed(#[source] Box<Error>),
    /// The file cannot be written.
    #[error("failed to write {}", path.display())]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
