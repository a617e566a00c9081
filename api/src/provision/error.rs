//! Why a database could not be provisioned: what a condition's reason and message are made from.

use reckon_contract::provisioning::{Facts, Owner, Reason};

/// What went wrong. No text in it holds a password, and there is no source below it that could.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No answer from there.
    #[error("cannot reach the database server {address}: {why}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// What happened instead.
        why: Unreachable,
    },
    /// The server is there and does not let the account in.
    #[error("the database server refuses the account {user}: {message}")]
    AccessDenied {
        /// The account that was used.
        user: String,
        /// The server's words.
        message: String,
    },
    /// The administering account is let in and may not do what is needed.
    #[error(
        "the account {user} lacks {missing} ({message}); it needs, in all: {}",
        needed.join("; ")
    )]
    InsufficientPrivilege {
        /// The administering account.
        user: String,
        /// What it lacks for the step that failed.
        missing: String,
        /// The server's words.
        message: String,
        /// The statements that give it all it needs, see [`super::grants::needed`].
        needed: Vec<String>,
    },
    /// The database is not there.
    #[error("the server has no database {0}")]
    UnknownDatabase(String),
    /// The connection is not protected as it has to be.
    #[error("the database server {address} is not trusted: {message}")]
    Certificate {
        /// `host:port`.
        address: String,
        /// What is wrong with its certificate, or that it has none.
        message: String,
    },
    /// The database was made for another resource.
    #[error(
        "the database {database} belongs to another RecommendationService, which its table reckon_owner names: choose another \
         database, or delete that row if that resource is gone for good"
    )]
    OwnedByAnother {
        /// The database.
        database: String,
        /// For whom it was made. Not part of the text: who reads it may have no right to know of other namespaces.
        owner: Box<Owner>,
    },
    /// There is an account of the name that cannot be proven to be ours; it was not touched.
    #[error(
        "the server has an account {user} that was not made for the database {database}, so it is left alone: remove it \
         (DROP USER '{user}'@'%') if nobody needs it"
    )]
    UserNotOurs {
        /// The account.
        user: String,
        /// The database.
        database: String,
    },
    /// The database was there before, with tables in it; it was not touched.
    #[error(
        "the database {database} has tables and was not made by this operator, so it is left alone: choose another name, \
         or use mysql.external, or hand it over: {adopt}"
    )]
    DatabaseNotEmpty {
        /// The database.
        database: String,
        /// The statements that hand it over, see [`super::adoption`].
        adopt: String,
    },
    /// The database is the server's own.
    #[error("the database {0} is the server's own: choose another name")]
    SystemDatabase(String),
    /// This server cannot keep two passwords for an account.
    #[error(
        "passwords cannot be exchanged without an outage on {facts}: that takes MySQL 8.0.14 or newer"
    )]
    RotationUnsupported {
        /// Which server it is.
        facts: Box<Facts>,
    },
    /// The server has as many connections as it takes.
    #[error("the database server {address} takes no more connections: {message}")]
    TooManyConnections {
        /// `host:port`.
        address: String,
        /// The server's words.
        message: String,
    },
    /// Anything else.
    #[error("failed to {doing}: {message}")]
    Other {
        /// What we were at.
        doing: String,
        /// The server's or the driver's words.
        message: String,
    },
}

/// How a server is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name has no address.
    #[error("the name has no address ({0})")]
    Name(String),
    /// Nobody listens on the port.
    #[error("connection refused")]
    Refused,
    /// No answer within the time: 5 s for a connection, 10 s for a statement.
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The connection broke, or no route.
    #[error("{0}")]
    Lost(String),
}

impl Error {
    /// The reason of a condition.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unreachable { .. } => Reason::Unreachable,
            Self::AccessDenied { .. } => Reason::AccessDenied,
            Self::InsufficientPrivilege { .. } => Reason::InsufficientPrivilege,
            Self::UnknownDatabase(_) => Reason::UnknownDatabase,
            Self::Certificate { .. } => Reason::CertificateRefused,
            Self::OwnedByAnother { .. } => Reason::OwnedByAnother,
            Self::UserNotOurs { .. } => Reason::UserNotOurs,
            Self::DatabaseNotEmpty { .. } => Reason::DatabaseNotEmpty,
            Self::SystemDatabase(_) => Reason::SystemDatabase,
            Self::RotationUnsupported { .. } => Reason::RotationUnsupported,
            Self::TooManyConnections { .. } => Reason::TooManyConnections,
            Self::Other { .. } => Reason::ProvisioningFailed,
        }
    }
}
