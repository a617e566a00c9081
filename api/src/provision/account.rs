//! An account: for the API, for the migration, or for the training.

use super::claim::{self, Note};
use super::error::Error;
use super::role::Role;
use super::session::Session;
use super::statement::{self, MODEL_TABLE, Statement};
use super::writes::{self, Privileges};
use crate::store::mysql::Address;
use reckon_contract::provisioning::{Change, Owner};
use secrecy::SecretString;
use std::num::NonZeroU32;

/// The required state of an account.
#[derive(Clone, Copy)]
pub(super) struct Account<'a> {
    pub role: Role,
    pub owner: &'a Owner,
    pub password: &'a SecretString,
    pub fence: NonZeroU32,
}

impl Account<'_> {
    fn user(&self) -> String {
        self.role.user(self.owner)
    }

    fn is_in(&self, note: Option<&Note>) -> bool {
        note.is_some_and(|note| note.is_made && note.account == self.user())
    }
}

/// The result of a login attempt.
pub(super) enum Login {
    /// The login succeeded.
    In(Box<Session>),
    /// The password is correct, but the account has reached its maximum number of connections.
    Full,
    /// Wrong password, or no such account.
    Denied,
}

/// Attempts to log in.
pub(super) async fn log_in(
    server: &Address,
    user: String,
    password: &SecretString,
) -> Result<Login, Error> {
    let as_user = Address {
        user,
        password: password.clone(),
        ..server.clone()
    };
    match Session::open(&as_user).await {
        Ok(session) => Ok(Login::In(Box::new(session))),
        Err(failure) => match failure.number {
            Some(1203 | 1226) => Ok(Login::Full),
            Some(1045 | 1698) => Ok(Login::Denied),
            _ => Err(failure.into()),
        },
    }
}

/// Whether the password is valid for the account.
pub(super) async fn opens(
    server: &Address,
    user: String,
    password: &SecretString,
) -> Result<bool, Error> {
    match log_in(server, user, password).await? {
        Login::In(session) => {
            session.close().await;
            Ok(true)
        }
        Login::Full => Ok(true),
        Login::Denied => Ok(false),
    }
}

/// Repairs the account, and reports the changes. Returns the account's privileges to write rows of tables; `None`: they
/// are unknown, because no connection of the account is free.
pub(super) async fn ensure(
    server: &Address,
    session: &mut Session,
    account: Account<'_>,
    patterns: bool,
    all_changes: &mut Vec<Change>,
) -> Result<Option<Privileges>, Error> {
    let mut changes = Vec::new();
    let held = set_right(server, session, account, patterns, &mut changes).await?;
    if !changes.is_empty() && !opens(server, account.user(), account.password).await? {
        return Err(Error::Other {
            action: format!("log in as {}", account.user()),
            message: "the server refuses the password that the account was given; is there an account without a name, or \
                      another of this name for some hosts?"
                .to_owned(),
        });
    }
    all_changes.extend(changes);
    Ok(held)
}

async fn set_right(
    server: &Address,
    session: &mut Session,
    account: Account<'_>,
    patterns: bool,
    changes: &mut Vec<Change>,
) -> Result<Option<Privileges>, Error> {
    let (role, user) = (account.role, account.user());
    let set_fence = statement::set_fence(&user, account.fence);
    let grants = grants(&server.database, account, patterns);
    let mut login = log_in(server, user.clone(), account.password).await?;
    if matches!(login, Login::Denied) {
        if make(server, session, account, changes).await? {
            run_all(session, &grants).await?;
            changes.push(role.granted());
            return Ok(Some(Privileges::new()));
        }
        login = log_in(server, user.clone(), account.password).await?;
    }
    if !matches!(login, Login::Denied) {
        note(session, account).await?;
    }
    let Login::In(own) = login else {
        // The current state cannot be read, so everything is set.
        session.run(&set_fence).await?;
        run_all(session, &grants).await?;
        return Ok(None);
    };
    let seen = look(*own, account, patterns).await?;
    if !seen.has_fence {
        session.run(&set_fence).await?;
        changes.push(role.fence_set());
    }
    if !seen.has_privileges {
        run_all(session, &grants).await?;
        changes.push(role.granted());
    }
    Ok(Some(seen.on_tables))
}

/// The statements that grant an account its privileges.
fn grants(database: &str, account: Account<'_>, patterns: bool) -> Vec<Statement> {
    let (role, user) = (account.role, account.user());
    let mut grants = vec![statement::grant(
        database,
        &user,
        role.privileges(),
        patterns,
    )];
    if !role.privileges_on_models().is_empty() {
        let more = role.privileges_on_models();
        grants.push(statement::grant_on_table(
            database,
            &user,
            MODEL_TABLE,
            more,
        ));
    }
    grants
}

async fn run_all(session: &mut Session, statements: &[Statement]) -> Result<(), Error> {
    for statement in statements {
        session.run(statement).await?;
    }
    Ok(())
}

/// Creates the account with its connection limit and returns `true`, or sets the password of an account that was
/// created here.
async fn make(
    server: &Address,
    session: &mut Session,
    account: Account<'_>,
    changes: &mut Vec<Change>,
) -> Result<bool, Error> {
    let user = account.user();
    let make = statement::make_account(&user, account.password, account.fence);
    match session.run(&make).await {
        Ok(()) => {
            note(session, account).await?;
            changes.push(account.role.made());
            return Ok(true);
        }
        // The account exists.
        Err(failure) if failure.number == Some(1396) => {}
        Err(failure) => return Err(failure.into()),
    }
    // Another provisioner may have just created it, and may not have recorded that yet.
    if opens(server, user.clone(), account.password).await? {
        return Ok(false);
    }
    if !account.is_in(claim::note(session, account.role).await?.as_ref()) {
        return Err(Error::UserNotOurs {
            user,
            database: server.database.clone(),
        });
    }
    session
        .run(&statement::set_password(&user, account.password))
        .await?;
    changes.push(account.role.password_set());
    Ok(false)
}

/// Records that the account is ours, if this is not recorded yet. The caller must have created the account, or logged
/// in to it.
async fn note(session: &mut Session, account: Account<'_>) -> Result<(), Error> {
    let noted = claim::note(session, account.role).await?;
    if !account.is_in(noted.as_ref()) {
        let database = session.database().to_owned();
        session
            .run(&statement::note_account(
                &database,
                account.owner,
                account.role,
            ))
            .await?;
    }
    Ok(())
}

/// The state of an account.
struct Seen {
    has_fence: bool,
    has_privileges: bool,
    /// Privileges on single tables; read only for [`Role::Reader`].
    on_tables: Privileges,
}

/// Reads the state of the account, in a session of this account.
async fn look(mut own: Session, account: Account<'_>, patterns: bool) -> Result<Seen, Error> {
    let seen = seen(&mut own, account, patterns).await;
    own.close().await;
    seen
}

async fn seen(own: &mut Session, account: Account<'_>, patterns: bool) -> Result<Seen, Error> {
    let privileges = account.role.privileges();
    let fence = own.number(&statement::read_fence()).await?;
    let count = statement::count_privileges(own.database(), privileges, patterns);
    let mut granted = own.number(&count).await?;
    let on_models = account.role.privileges_on_models();
    if !on_models.is_empty() {
        let count = statement::count_privileges_on_models(own.database(), on_models);
        granted = granted.saturating_add(own.number(&count).await?);
    }
    let on_tables = match account.role {
        Role::Reader => writes::held(own, &account.user()).await?,
        Role::Migrator | Role::Trainer => Privileges::new(),
    };
    Ok(Seen {
        has_fence: fence == account.fence.get(),
        has_privileges: usize::try_from(granted) == Ok(privileges.len() + on_models.len()),
        on_tables,
    })
}
