//! Classifies a driver's errors.

use super::error::{Error, Unreachable};
use super::grants;
use super::statement::Statement;
use crate::store::mysql::{Address, is_of_tls};
use secrecy::ExposeSecret as _;
use sqlx::mysql::MySqlDatabaseError;
use std::{io, time::Duration};

/// Maximum characters of a server's message that are kept. No genuine message is longer. The limit keeps a long message
/// from pushing out the text after it.
const WORDS: usize = 512;

/// An error, and the server's error number for callers that can handle it.
#[derive(Debug)]
pub(super) struct Failure {
    /// As listed in the servers' references.
    pub number: Option<u16>,
    /// For all other callers.
    pub error: Error,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// No answer `within` this time.
pub(super) fn timed_out(server: &Address, within: Duration) -> Failure {
    Failure {
        number: None,
        error: unreachable(server, Unreachable::TimedOut(within.as_secs())),
    }
}

/// The error of a failed login.
pub(super) fn connecting(error: &sqlx::Error, server: &Address) -> Failure {
    let number = number(error);
    let message = words(error);
    let error = match number {
        // Wrong password, host not allowed, account locked, unsupported authentication method.
        Some(1044 | 1045 | 1130 | 1251 | 1524 | 1698 | 3118 | 4151) => Error::AccessDenied {
            user: server.user.clone(),
            message,
        },
        _ => in_any_phase(error, number, server).unwrap_or_else(|| Error::Other {
            action: format!("connect to the database server {}", address(server)),
            message,
        }),
    };
    Failure { number, error }
}

/// The error of a failed statement.
pub(super) fn running(error: &sqlx::Error, server: &Address, statement: &Statement) -> Failure {
    let number = number(error);
    let message = without_secret(words(error), number, statement);
    let error = match number {
        Some(1044 | 1045 | 1142 | 1143 | 1227 | 1410) => Error::InsufficientPrivilege {
            user: server.user.clone(),
            missing: statement.right.clone(),
            message,
            needed: grants::needed(&server.user, &server.database),
        },
        Some(1049) => Error::UnknownDatabase(server.database.clone()),
        _ => in_any_phase(error, number, server).unwrap_or_else(|| Error::Other {
            action: statement.action.clone(),
            message,
        }),
    };
    Failure { number, error }
}

fn in_any_phase(error: &sqlx::Error, number: Option<u16>, server: &Address) -> Option<Error> {
    let address = self::address(server);
    let message = words(error);
    Some(match (error, number) {
        (_, Some(1040 | 1203 | 1226)) => Error::TooManyConnections { address, message },
        (sqlx::Error::Tls(_) | sqlx::Error::Configuration(_), None) | (_, Some(3159)) => {
            Error::Certificate { address, message }
        }
        // The driver reports a failed handshake as an error while reading.
        (sqlx::Error::Io(io), None) if is_of_tls(io) => Error::Certificate { address, message },
        (sqlx::Error::Io(io), None) => unreachable(server, lost(io)),
        // Shutdown in progress, killed, timed out for idleness.
        (_, Some(1053 | 1927 | 4031)) => unreachable(server, Unreachable::Lost(message)),
        _ => return None,
    })
}

/// `host:port`, for messages.
pub(super) fn address(server: &Address) -> String {
    format!("{}:{}", server.host, server.port)
}

fn unreachable(server: &Address, why: Unreachable) -> Error {
    Error::Unreachable {
        address: address(server),
        why,
    }
}

fn lost(error: &io::Error) -> Unreachable {
    let message = error.to_string();
    // The standard library has no error kind for it.
    if message.starts_with("failed to lookup address information") {
        let reason = message.split_once(": ").map_or("", |(_, reason)| reason);
        return Unreachable::Name(reason.to_owned());
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Unreachable::Refused,
        _ => Unreachable::Lost(message),
    }
}

fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?;
    error
        .try_downcast_ref::<MySqlDatabaseError>()
        .map(MySqlDatabaseError::number)
}

/// The message of the server, or of the driver.
fn words(error: &sqlx::Error) -> String {
    let words = match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Tls(error) | sqlx::Error::Configuration(error) => error.to_string(),
        sqlx::Error::Io(error) => error.to_string(),
        error => error.to_string(),
    };
    words.chars().take(WORDS).collect()
}

fn without_secret(message: String, number: Option<u16>, statement: &Statement) -> String {
    match (&statement.secret, number) {
        (None, _) => message,
        // The message of a syntax error quotes a part of the statement.
        (Some(_), None | Some(1064)) => {
            "the words are not shown, since they may quote the password".to_owned()
        }
        (Some(secret), _) if secret.expose_secret().is_empty() => message,
        (Some(secret), _) => message.replace(secret.expose_secret(), "(hidden)"),
    }
}

#[cfg(test)]
mod tests {
    use super::without_secret;
    use crate::provision::statement;

    #[test]
    fn no_message_contains_a_password() {
        let statement = statement::set_password("reckon_1", &"hunter2".into());
        for (message, number) in [
            ("not as the policy wants: hunter2", Some(1819)),
            ("syntax error near 'hunt", Some(1064)),
            ("unexpected 'hunter2'", None),
        ] {
            let shown = without_secret(message.to_owned(), number, &statement);
            assert!(!shown.contains("hunt"), "{shown}");
        }
    }
}
