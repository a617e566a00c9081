//! The account that the API reads with.

use super::claim::{self, Row};
use super::session::Session;
use super::{
    Change, Wanted, error::Error, owner::Owner, secret::Secret, server::Server, statement,
};

/// What came of an attempt to be the account.
pub(super) enum Login {
    /// Let in.
    In(Session),
    /// The password is right, and all connections that the account may have are taken.
    Full,
    /// Wrong password, or no such account.
    Denied,
}

/// Tries to be the account of `owner`.
pub(super) async fn log_in(
    server: &Server,
    owner: &Owner,
    password: &Secret,
) -> Result<Login, Error> {
    let as_user = Server {
        user: owner.user_name(),
        password: password.clone(),
        ..server.clone()
    };
    match Session::open(&as_user, "").await {
        Ok(session) => Ok(Login::In(session)),
        Err(failure) => match failure.number {
            Some(1203 | 1226) => Ok(Login::Full),
            Some(1045 | 1698) => Ok(Login::Denied),
            _ => Err(failure.into()),
        },
    }
}

/// Sets the account right.
pub(super) async fn ensure(
    server: &Server,
    session: &mut Session,
    wanted: &Wanted,
    row: &Row,
    patterns: bool,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let user = wanted.owner.user_name();
    let set_fence = statement::set_fence(&user, wanted.max_user_connections);
    let let_read = statement::let_read(&wanted.database, &user, patterns);
    let mut login = log_in(server, &wanted.owner, &wanted.password).await?;
    if matches!(login, Login::Denied) {
        if make(server, session, wanted, changes).await? {
            session.run(&let_read).await?;
            changes.push(Change::ReadGranted);
            return Ok(());
        }
        login = log_in(server, &wanted.owner, &wanted.password).await?;
    }
    if !matches!(login, Login::Denied) {
        note(session, wanted, row).await?;
    }
    let Login::In(own) = login else {
        // Nothing can be seen, so everything is set.
        session.run(&set_fence).await?;
        session.run(&let_read).await?;
        return Ok(());
    };
    let (has_fence, can_read) = look(own, wanted).await?;
    if !has_fence {
        session.run(&set_fence).await?;
        changes.push(Change::FenceSet);
    }
    if !can_read {
        session.run(&let_read).await?;
        changes.push(Change::ReadGranted);
    }
    Ok(())
}

/// Makes the account, or gives the one that was made here its password; `true`: made, with the fence.
async fn make(
    server: &Server,
    session: &mut Session,
    wanted: &Wanted,
    changes: &mut Vec<Change>,
) -> Result<bool, Error> {
    let (user, password) = (wanted.owner.user_name(), &wanted.password);
    let make = statement::make_account(&user, password, wanted.max_user_connections);
    match session.run(&make).await {
        Ok(()) => {
            session
                .run(&statement::note_account(&wanted.database, &user))
                .await?;
            changes.push(Change::UserMade);
            return Ok(true);
        }
        // There is one.
        Err(failure) if failure.number == Some(1396) => {}
        Err(failure) => return Err(failure.into()),
    }
    // Another operator may have made it just now, and may not have noted so yet.
    let again = log_in(server, &wanted.owner, password).await?;
    let row = claim::read(session, &wanted.database).await?.flatten();
    match (again, row) {
        (Login::In(own), Some(row)) => {
            own.close().await;
            note(session, wanted, &row).await?;
        }
        (Login::Full, Some(row)) => note(session, wanted, &row).await?,
        (Login::Denied, Some(row)) if row.account_made && row.account == user => {
            session
                .run(&statement::set_password(&user, password))
                .await?;
            changes.push(Change::PasswordSet);
        }
        _ => {
            return Err(Error::UserNotOurs {
                user,
                database: wanted.database.clone(),
            });
        }
    }
    Ok(false)
}

/// The password has opened the account, so it is ours; notes so if that was not done.
async fn note(session: &mut Session, wanted: &Wanted, row: &Row) -> Result<(), Error> {
    let user = wanted.owner.user_name();
    if !row.account_made || row.account != user {
        session
            .run(&statement::note_account(&wanted.database, &user))
            .await?;
    }
    Ok(())
}

/// Whether the account has the fence, and whether it can read.
async fn look(mut own: Session, wanted: &Wanted) -> Result<(bool, bool), Error> {
    let seen = seen(&mut own, wanted).await;
    own.close().await;
    seen
}

async fn seen(own: &mut Session, wanted: &Wanted) -> Result<(bool, bool), Error> {
    let fence = own.number(&statement::read_fence()).await?;
    let can_read = match own.run(&statement::read_owner(&wanted.database)).await {
        Ok(()) => true,
        Err(failure) if matches!(failure.number, Some(1044 | 1142 | 1143)) => false,
        Err(failure) => return Err(failure.into()),
    };
    Ok((fence == wanted.max_user_connections.get(), can_read))
}
