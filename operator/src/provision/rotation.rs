//! A new password without a moment in which pods are locked out (MySQL 8.0.14 and newer).
//!
//! | stage (kept with the Secret) | Secret | server | what is next |
//! |---|---|---|---|
//! | none | `password` old | old | write `next-password` and stage `retaining` into the Secret, in one write |
//! | [`Stage::Retaining`] | `password` old, `next-password` new | old, or both | [`begin`], then `password` new, without `next-password`, stage `rolling`, in one write |
//! | [`Stage::Rolling`] | `password` new | both | roll; once no pod with the old password is left (terminating ones count), [`finish`], then take the stage away |
//!
//! Whoever dies in between does the same step again: [`begin`] does nothing where the new password opens the account already
//! (a second `RETAIN` would throw the old one away), and [`finish`] only discards what is not in the Secret. New passwords
//! are kept in the Secret's data, never in an annotation, which more people may read.

use super::account::{Login, log_in};
use super::session::Session;
use super::{claim, error::Error, owner::Owner, secret::Secret, server::Server, statement};
use std::{fmt, str::FromStr};

/// How far a rotation is; its text is for an annotation of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The new password is remembered; the server may know it.
    Retaining,
    /// The server knows both; the new one is published, and pods are being replaced.
    Rolling,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Retaining => "retaining",
            Self::Rolling => "rolling",
        })
    }
}

/// A text that is no stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no stage of a rotation (retaining, rolling)")]
pub struct NoStage(String);

impl FromStr for Stage {
    type Err = NoStage;

    fn from_str(text: &str) -> Result<Self, NoStage> {
        match text {
            "retaining" => Ok(Self::Retaining),
            "rolling" => Ok(Self::Rolling),
            _ => Err(NoStage(text.to_owned())),
        }
    }
}

/// Gives the account `next` beside the password it has. Safe to run again, and by several at once.
///
/// # Errors
/// [`Error::RotationUnsupported`] before anything is touched; else see [`Error`].
pub async fn begin(
    server: &Server,
    database: &str,
    owner: &Owner,
    next: &Secret,
) -> Result<(), Error> {
    let mut session = Session::open(server, database).await?;
    let done = add(server, &mut session, database, owner, next).await;
    session.close().await;
    done
}

async fn add(
    server: &Server,
    session: &mut Session,
    database: &str,
    owner: &Owner,
    next: &Secret,
) -> Result<(), Error> {
    check(session, database, owner).await?;
    let user = owner.user_name();
    let lock = statement::lock_rotation(&user);
    if session.number(&lock).await? != 1 {
        return Err(Error::Other {
            doing: lock.doing,
            message: "it is still under way".to_owned(),
        });
    }
    // A second RETAIN would throw the older password away, which pods use.
    if !opens(server, owner, next).await? {
        session.run(&statement::add_password(&user, next)).await?;
    }
    Ok(())
}

/// Takes away the password that is not `current`, which must open the account. Safe to run again.
///
/// # Errors
/// See [`Error`]: [`Error::AccessDenied`] where `current` does not open the account; nothing is discarded then.
pub async fn finish(
    server: &Server,
    database: &str,
    owner: &Owner,
    current: &Secret,
) -> Result<(), Error> {
    let mut session = Session::open(server, database).await?;
    let done = discard(server, &mut session, database, owner, current).await;
    session.close().await;
    done
}

async fn discard(
    server: &Server,
    session: &mut Session,
    database: &str,
    owner: &Owner,
    current: &Secret,
) -> Result<(), Error> {
    check(session, database, owner).await?;
    let user = owner.user_name();
    if !opens(server, owner, current).await? {
        return Err(Error::AccessDenied {
            user,
            message: "the password in the Secret does not open it, so the other one was kept"
                .to_owned(),
        });
    }
    session.run(&statement::discard_password(&user)).await?;
    // Should `current` have been the older one of the two, it is gone now; what is in the Secret counts.
    if !opens(server, owner, current).await? {
        session
            .run(&statement::set_password(&user, current))
            .await?;
    }
    Ok(())
}

async fn check(session: &mut Session, database: &str, owner: &Owner) -> Result<(), Error> {
    let facts = session.variables().await?.facts;
    if !facts.can_rotate() {
        return Err(Error::RotationUnsupported {
            facts: Box::new(facts),
        });
    }
    claim::ours(session, database, owner).await?;
    Ok(())
}

/// Whether the password opens the account.
pub(super) async fn opens(
    server: &Server,
    owner: &Owner,
    password: &Secret,
) -> Result<bool, Error> {
    match log_in(server, owner, password).await? {
        Login::In(session) => {
            session.close().await;
            Ok(true)
        }
        Login::Full => Ok(true),
        Login::Denied => Ok(false),
    }
}
