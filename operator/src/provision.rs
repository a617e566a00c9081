//! The only SQL that the operator speaks: a database of its own for a resource, with an account that may only read it.
//!
//! Nothing is ever dropped, and nothing is altered that was not made here: a row in the database says for whom it was made
//! and for which account. Every call opens a connection or two, is done within [`CONNECT`] and [`STATEMENT`] for each step,
//! and closes them.
//!
//! The password is remembered (in the Secret) *before* [`ensure`] is called, and given again on each call: should this
//! process die between making the account and noting that it did, then that password opening the account is the proof.

pub mod error;
pub mod grants;
pub mod owner;
pub mod password;
pub mod rotation;
pub mod secret;
pub mod server;

use error::Error;
use owner::Owner;
use secret::Secret;
use server::{Facts, Server};
use std::{num::NonZeroU32, time::Duration};

/// Longest that a connection may take, from the look-up of the name to the account's welcome.
pub const CONNECT: Duration = Duration::from_secs(5);
/// Longest that a statement may take.
pub const STATEMENT: Duration = Duration::from_secs(10);

/// What there has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The database: 1 to 64 characters.
    pub database: String,
    /// For whom. The account's name follows from it: [`Owner::user_name`].
    pub owner: Owner,
    /// The account's password.
    pub password: Secret,
    /// The fence: most connections that the server gives the account, `MAX_USER_CONNECTIONS`. At most 2,147,483,647.
    pub max_user_connections: NonZeroU32,
}

/// What there is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// The account's name.
    pub user: String,
    /// What the server says of itself.
    pub facts: Facts,
    /// What was done to get there, in this order; empty: everything was there.
    pub changes: Vec<Change>,
}

/// Something that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The database was made.
    DatabaseMade,
    /// An empty database that was there was taken.
    DatabaseAdopted,
    /// The row of the owner has another resource's UID: the resource was deleted and made again.
    OwnerRenewed,
    /// The account was made.
    UserMade,
    /// The account was given the password, since it had another.
    PasswordSet,
    /// The account was given another limit of connections.
    FenceSet,
    /// The account was allowed to read.
    ReadGranted,
}

/// Makes what is absent and sets right what is ours: database, the row of the owner, account, password, fence, `SELECT`.
///
/// Safe to run again, and by several at once. Writes nothing where all is as wanted. During a rotation it accepts the older
/// of the two passwords as well, and leaves both.
///
/// # Errors
/// See [`Error`]; what was done before stays done, and the next call goes on from there.
pub async fn ensure(server: &Server, wanted: &Wanted) -> Result<Provisioned, Error> {
    let _ = (server, wanted);
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
}

/// Sets the fence alone, on an account that is ours.
///
/// # Errors
/// See [`Error`]: among them [`Error::UnknownDatabase`] and [`Error::UserNotOurs`] before the first [`ensure`].
pub async fn set_fence(
    server: &Server,
    database: &str,
    owner: &Owner,
    max_user_connections: NonZeroU32,
) -> Result<(), Error> {
    let _ = (server, database, owner, max_user_connections);
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
}

/// Whether the server lets the account of `owner` in with this password. An account that has all the connections it may
/// have counts as let in: the server looks at the password first.
///
/// # Errors
/// See [`Error`], but for [`Error::AccessDenied`], which is the answer `false`.
pub async fn can_log_in(server: &Server, owner: &Owner, password: &Secret) -> Result<bool, Error> {
    let _ = (server, owner, password);
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
}

/// What the server says of itself.
///
/// # Errors
/// See [`Error`].
pub async fn facts(server: &Server) -> Result<Facts, Error> {
    let _ = server;
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
}

/// The statements that remove what was provisioned. The operator never runs them: a person does, once the data is not needed.
#[must_use]
pub fn removal(database: &str, owner: &Owner) -> String {
    let _ = (database, owner);
    String::new()
}

/// The statements that hand a database with tables over to `owner`, for a person to run before [`ensure`].
#[must_use]
pub fn adoption(database: &str, owner: &Owner) -> String {
    let _ = (database, owner);
    String::new()
}
