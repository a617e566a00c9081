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

use super::{error::Error, owner::Owner, secret::Secret, server::Server};
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
    let _ = (server, database, owner, next);
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
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
    let _ = (server, database, owner, current);
    Err(Error::Other {
        doing: "provision".to_owned(),
        message: "not yet".to_owned(),
    })
}
