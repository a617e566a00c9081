//! Why a database could not be provisioned: the source of a condition's reason and message.

use reckon_contract::provisioning::{Facts, Owner, Reason};

/// A failure. None of its strings contains a password, and it has no source that could.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server is unreachable.
    #[error("cannot reach the database server {address}: {why}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// The cause.
        why: Unreachable,
    },
    /// The server refuses the account.
    #[error("the database server refuses the account {user}: {message}")]
    AccessDenied {
        /// The account that was used.
        user: String,
        /// The server's message.
        message: String,
    },
    /// The administering account lacks a privilege.
    #[error(
        "the account {user} lacks {missing} ({message}); it needs, in all: {}",
        needed.join("; ")
    )]
    InsufficientPrivilege {
        /// The administering account.
        user: String,
        /// The missing privilege of the failed step.
        missing: String,
        /// The server's message.
        message: String,
        /// The statements that grant all required privileges, see [`super::grants::needed`].
        needed: Vec<String>,
    },
    /// The database does not exist.
    #[error("the server has no database {0}")]
    UnknownDatabase(String),
    /// The connection is not protected as required.
    #[error("the database server {address} is not trusted: {message}")]
    Certificate {
        /// `host:port`.
        address: String,
        /// The problem with the server's certificate, or that the server has none.
        message: String,
    },
    /// The database belongs to another resource.
    #[error(
        "the database {database} belongs to another RecommendationService, which its table reckon_owner names: choose another \
         database, or delete that row if that resource is gone for good"
    )]
    OwnedByAnother {
        /// The database.
        database: String,
        /// Its owner. Not part of the message: its readers may have no right to know about other namespaces.
        owner: Box<Owner>,
    },
    /// An account with this name exists and cannot be proven to be ours; it was not changed.
    #[error(
        "the server has an account {user} that was not created for the database {database}, so it is not changed: remove it \
         (DROP USER '{user}'@'%') if it is not needed"
    )]
    UserNotOurs {
        /// The account.
        user: String,
        /// The database.
        database: String,
    },
    /// The database already existed with tables in it; it was not changed.
    #[error(
        "the database {database} has tables and was not created by this operator, so it is not changed: choose another name, \
         or use mysql.external, or hand it over: {adopt}"
    )]
    DatabaseNotEmpty {
        /// The database.
        database: String,
        /// The statements that transfer it, see [`super::adoption`].
        adopt: String,
    },
    /// The database is a system database of the server.
    #[error("the database {0} is the server's own: choose another name")]
    SystemDatabase(String),
    /// This server does not support two passwords for an account.
    #[error(
        "passwords cannot be exchanged without an outage on {facts}: this requires MySQL 8.0.14 or newer"
    )]
    RotationUnsupported {
        /// The server's product and version.
        facts: Box<Facts>,
    },
    /// The server has reached its maximum number of connections.
    #[error("the database server {address} takes no more connections: {message}")]
    TooManyConnections {
        /// `host:port`.
        address: String,
        /// The server's message.
        message: String,
    },
    /// Anything else.
    #[error("failed to {action}: {message}")]
    Other {
        /// The failed action.
        action: String,
        /// The message of the server or the driver.
        message: String,
    },
}

/// Why a server is unreachable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// The name has no address.
    #[error("the name has no address ({0})")]
    Name(String),
    /// No program listens on the port.
    #[error("connection refused")]
    Refused,
    /// No answer within the time: 5 s for a connection, 10 s for a statement.
    #[error("no answer within {0} s")]
    TimedOut(u64),
    /// The connection broke, or there is no route.
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
