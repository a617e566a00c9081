//! Rotates a password without locking out a client (MySQL 8.0.14 and newer): for a while the account has both passwords.
//!
//! Interrupted steps are repeated. [`begin`] does nothing if the new password is already valid, because a second
//! `RETAIN CURRENT PASSWORD` would discard the old one. [`finish`] discards only the password that is not current.

use super::account::opens;
use super::session::Session;
use super::{claim, error::Error, statement};
use crate::store::mysql::Address;
use reckon_contract::provisioning::{Facts, Owner};
use secrecy::SecretString;

/// Adds the password `next` to the account's current one. Idempotent, and safe to run concurrently.
///
/// # Errors
/// [`Error::RotationUnsupported`] before anything is changed; otherwise see [`Error`].
pub async fn begin(server: &Address, owner: &Owner, next: &SecretString) -> Result<Facts, Error> {
    let mut session = Session::open(server).await?;
    let done = add(server, &mut session, owner, next).await;
    session.close().await;
    done
}

async fn add(
    server: &Address,
    session: &mut Session,
    owner: &Owner,
    next: &SecretString,
) -> Result<Facts, Error> {
    let facts = check(session, owner).await?;
    let user = owner.user_name();
    let lock = statement::lock_rotation(&user);
    if session.number(&lock).await? != 1 {
        return Err(Error::Other {
            action: lock.action,
            message: "it is still running".to_owned(),
        });
    }
    // A second RETAIN would discard the older password, which pods use.
    if !opens(server, user.clone(), next).await? {
        session.run(&statement::add_password(&user, next)).await?;
    }
    Ok(facts)
}

/// Discards the account's other password. `current` must be a valid password of the account. Idempotent, and safe to run
/// concurrently.
///
/// # Errors
/// [`Error::AccessDenied`] if `current` is not valid; then nothing is discarded. Otherwise see [`Error`].
pub async fn finish(
    server: &Address,
    owner: &Owner,
    current: &SecretString,
) -> Result<Facts, Error> {
    let mut session = Session::open(server).await?;
    let done = discard(server, &mut session, owner, current).await;
    session.close().await;
    done
}

async fn discard(
    server: &Address,
    session: &mut Session,
    owner: &Owner,
    current: &SecretString,
) -> Result<Facts, Error> {
    let facts = check(session, owner).await?;
    let user = owner.user_name();
    if !opens(server, user.clone(), current).await? {
        return Err(Error::AccessDenied {
            user,
            message: "the password in the Secret does not open it, so the other one was kept"
                .to_owned(),
        });
    }
    session.run(&statement::discard_password(&user)).await?;
    // If `current` was the older one of the two, it has just been discarded and is set again: the caller has stored it.
    if !opens(server, user.clone(), current).await? {
        session
            .run(&statement::set_password(&user, current))
            .await?;
    }
    Ok(facts)
}

async fn check(session: &mut Session, owner: &Owner) -> Result<Facts, Error> {
    let facts = session.variables().await?.facts;
    if !facts.can_rotate() {
        return Err(Error::RotationUnsupported {
            facts: Box::new(facts),
        });
    }
    claim::ours(session, owner).await?;
    Ok(facts)
}
