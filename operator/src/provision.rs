//! The only SQL that the operator speaks: a database of its own for a resource, with an account that may only read it.
//!
//! Nothing is ever dropped, and nothing is altered that was not made here: a row in the database says for whom it was made
//! and for which account. Every call opens a connection or two, is done within [`CONNECT`] and [`STATEMENT`] for each step,
//! and closes them.
//!
//! The password is remembered (in the Secret) *before* [`ensure`] is called, and given again on each call: should this
//! process die between making the account and noting that it did, then that password opening the account is the proof.

mod account;
mod claim;
pub mod error;
mod failure;
pub mod grants;
pub mod owner;
pub mod password;
mod relay;
pub mod rotation;
pub mod secret;
pub mod server;
mod session;
mod statement;

use error::Error;
use owner::Owner;
use secret::Secret;
use server::{Facts, Server};
use session::Session;
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
    let mut session = Session::open(server, &wanted.database).await?;
    let done = ensure_in(server, &mut session, wanted).await;
    session.close().await;
    done
}

async fn ensure_in(
    server: &Server,
    session: &mut Session,
    wanted: &Wanted,
) -> Result<Provisioned, Error> {
    let variables = session.variables().await?;
    let mut changes = Vec::new();
    let row = claim::take(session, &wanted.database, &wanted.owner, &mut changes).await?;
    account::ensure(
        server,
        session,
        wanted,
        &row,
        variables.patterns,
        &mut changes,
    )
    .await?;
    if !changes.is_empty() && !rotation::opens(server, &wanted.owner, &wanted.password).await? {
        return Err(Error::Other {
            doing: format!("log in as {}", wanted.owner.user_name()),
            message: "the server refuses the password that the account was given; is there an account without a name, or \
                      another of this name for some hosts?"
                .to_owned(),
        });
    }
    Ok(Provisioned {
        user: wanted.owner.user_name(),
        facts: variables.facts,
        changes,
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
    let mut session = Session::open(server, database).await?;
    let set = statement::set_fence(&owner.user_name(), max_user_connections);
    let done = match claim::ours(&mut session, database, owner).await {
        Ok(_) => session.run(&set).await.map_err(Error::from),
        Err(error) => Err(error),
    };
    session.close().await;
    done
}

/// What the server says of itself.
///
/// # Errors
/// See [`Error`].
pub async fn facts(server: &Server) -> Result<Facts, Error> {
    let mut session = Session::open(server, "").await?;
    let variables = session.variables().await;
    session.close().await;
    Ok(variables?.facts)
}

/// The statements that remove what was provisioned. The operator never runs them: a person does, once nobody needs the data.
#[must_use]
pub fn removal(database: &str, owner: &Owner) -> String {
    format!(
        "DROP USER IF EXISTS {}; DROP DATABASE IF EXISTS {};",
        statement::account(&owner.user_name()),
        statement::name(database)
    )
}

/// The statements that hand a database with tables over to `owner`, for a person to run before [`ensure`].
#[must_use]
pub fn adoption(database: &str, owner: &Owner) -> String {
    format!(
        "{}; {};",
        statement::make_owner_table(database).sql,
        statement::claim(database, owner).sql
    )
}
