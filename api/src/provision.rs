//! Provisions a dedicated database for a resource, with three accounts. The first may only read the database; if the
//! resource needs it, it may also store and delete rows of users. The second may only migrate the database. The third
//! may only read it and write the table of models.
//!
//! Nothing is ever dropped, and only objects that were created here are altered: rows in the database record its owner
//! and the accounts. Every call opens a few connections and closes them. Each step takes at most [`CONNECT_TIMEOUT`]
//! and [`STATEMENT_TIMEOUT`].
//!
//! The caller stores a password *before* it calls [`ensure`], and passes the same one on each call. If this process
//! dies after it created an account and before it recorded the account, a login with that password proves that the
//! account is ours.

mod account;
mod claim;
pub mod error;
mod failure;
pub mod grants;
mod role;
pub mod rotation;
mod session;
mod statement;
pub mod task;
mod writes;

pub use session::{CONNECT_TIMEOUT, STATEMENT_TIMEOUT};
pub use statement::adoption;

use crate::store::mysql::Address;
use account::Account;
use error::Error;
use reckon_contract::provisioning::{Change, Facts, Owner};
use role::Role;
use secrecy::SecretString;
use session::Session;
use std::collections::BTreeSet;
use std::num::NonZeroU32;

/// `MAX_USER_CONNECTIONS` of the account that migrates. `migrate` has one session. A second session may belong to a
/// killed pod whose end the server has not noticed yet. A third session checks the password.
pub const MIGRATION_CONNECTIONS: NonZeroU32 = NonZeroU32::new(3).expect("not zero");

/// `MAX_USER_CONNECTIONS` of the account that trains. It is the number that the connection budget reserves for a
/// training, so that the server rejects a second training.
pub const TRAINING_CONNECTIONS: NonZeroU32 = NonZeroU32::MIN;

/// The required state.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The owner. The names of the accounts are derived from it.
    pub owner: Owner,
    /// The password of the account that reads.
    pub password: SecretString,
    /// The fence: maximum connections that the server allows this account, `MAX_USER_CONNECTIONS`. At most 2,147,483,647.
    pub max_user_connections: NonZeroU32,
    /// Tables (in addition to `reckon_events`) in which the account that reads may also insert and delete rows; empty:
    /// none. `None`: none, and it had no such privilege before. See
    /// [`Step::Ensure`](reckon_contract::provisioning::Step::Ensure).
    pub writes: Option<BTreeSet<String>>,
    /// The password of the account that migrates; `None`: none is required, and an existing account is left unchanged.
    pub migration_password: Option<SecretString>,
    /// The password of the account that trains; `None`: none is required, and an existing account is left unchanged.
    pub training_password: Option<SecretString>,
}

/// The resulting state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// The facts that the server reports about itself.
    pub facts: Facts,
    /// The changes that were made, in their order; empty: nothing was missing.
    pub changes: Vec<Change>,
}

/// As the administrator in `server`, creates missing objects and repairs our own: the database, the rows of the owner,
/// and the accounts with password, fence and privileges.
///
/// Idempotent, and safe to run concurrently. Writes nothing if the state is already as required. During a rotation, the
/// call also accepts the older of the two passwords, and keeps both.
///
/// # Errors
/// See [`Error`]; completed steps remain, and the next call resumes.
pub async fn ensure(server: &Address, wanted: &Wanted) -> Result<Provisioned, Error> {
    let mut session = Session::open(server).await?;
    let done = ensure_in(server, &mut session, wanted).await;
    session.close().await;
    done
}

async fn ensure_in(
    server: &Address,
    session: &mut Session,
    wanted: &Wanted,
) -> Result<Provisioned, Error> {
    let variables = session.variables().await?;
    let mut changes = Vec::new();
    claim::take(session, &wanted.owner, &mut changes).await?;
    let reader = Account {
        role: Role::Reader,
        owner: &wanted.owner,
        password: &wanted.password,
        fence: wanted.max_user_connections,
    };
    let migrator = wanted.migration_password.as_ref().map(|password| Account {
        role: Role::Migrator,
        password,
        fence: MIGRATION_CONNECTIONS,
        ..reader
    });
    let trainer = wanted.training_password.as_ref().map(|password| Account {
        role: Role::Trainer,
        password,
        fence: TRAINING_CONNECTIONS,
        ..reader
    });
    let patterns = variables.patterns;
    let held = account::ensure(server, session, reader, patterns, &mut changes).await?;
    let tables = writes::Tables {
        named: wanted.writes.as_ref(),
        folds_case: variables.folds_case,
    };
    let user = wanted.owner.user_name();
    changes.extend(writes::ensure(server, session, &user, held, tables).await?);
    for account in [migrator, trainer].into_iter().flatten() {
        account::ensure(server, session, account, patterns, &mut changes).await?;
    }
    Ok(Provisioned {
        facts: variables.facts,
        changes,
    })
}

/// Sets only the fence, on an account that is ours.
///
/// # Errors
/// See [`Error`]: among others [`Error::UnknownDatabase`] and [`Error::UserNotOurs`] before the first [`ensure`].
pub async fn set_fence(
    server: &Address,
    owner: &Owner,
    max_user_connections: NonZeroU32,
) -> Result<Facts, Error> {
    let mut session = Session::open(server).await?;
    let done = set_fence_in(&mut session, owner, max_user_connections).await;
    session.close().await;
    done
}

async fn set_fence_in(
    session: &mut Session,
    owner: &Owner,
    max_user_connections: NonZeroU32,
) -> Result<Facts, Error> {
    let facts = session.variables().await?.facts;
    claim::ours(session, owner).await?;
    let set = statement::set_fence(&owner.user_name(), max_user_connections);
    session.run(&set).await?;
    Ok(facts)
}
