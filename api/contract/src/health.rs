//! The parts of `/health` that other programs evaluate: why an instance cannot use its database, the limit of its
//! connections, and its model.

use serde::{Deserialize, Serialize};

/// The reason before the first connection.
pub const STARTING: &str = "not connected yet";

/// The reason of a database failure: a closed set for metrics and messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing listens at the address, or the connection broke.
    Unreachable,
    /// The name or password is wrong, or the user lacks a privilege.
    AccessDenied,
    /// The server has no database of that name.
    UnknownDatabase,
    /// A table or one of its columns is missing.
    SchemaMismatch,
    /// User ids are integers by `tables.userId`, but a column with them is not.
    UserIdType,
    /// The certificate is not trusted, or one side wants TLS and the other has none.
    Tls,
    /// The server allows no more connections.
    TooManyConnections,
    /// No answer in time, or the server ended the statement because it took too long.
    Timeout,
    /// Anything else.
    Other,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Unreachable,
        Self::AccessDenied,
        Self::UnknownDatabase,
        Self::SchemaMismatch,
        Self::UserIdType,
        Self::Tls,
        Self::TooManyConnections,
        Self::Timeout,
        Self::Other,
    ];

    /// The reason as a label value and as `/health` names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::AccessDenied => "access denied",
            Self::UnknownDatabase => "unknown database",
            Self::SchemaMismatch => "missing table or column",
            Self::UserIdType => "user ids are not integers",
            Self::Tls => "tls",
            Self::TooManyConnections => "too many connections",
            Self::Timeout => "timeout",
            Self::Other => "other",
        }
    }

    /// The reason with this name in `/health`; `None`: an instance of another version may have further ones.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The field `model` of `/health`: the trained model that the instance uses. The field is absent where the algorithm
/// uses none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Name of the model in use. Absent: no model is in use, and answers come from each user's own history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When the model in use was trained, in seconds since 1970-01-01 UTC. Absent without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Why the newest published model is not in use, or why the table of models cannot be read. Absent: no problem. A
    /// database that has no model yet is no problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The field `connection_limit` of `/health`: how many connections the database server allows the instance's account
/// (`MAX_USER_CONNECTIONS`), as its open sessions report it. The field is absent if no session is open, and for SQLite.
///
/// A server does not count a session that was opened before its account had a limit, and an account is a name and a host. So sessions
/// may differ, and the least strict limit counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLimit {
    /// The account, as the first 16 hexadecimal digits of the SHA-256 of `CURRENT_USER()`. Absent: the sessions have different
    /// accounts, and each account has a limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Greatest limit of a session; 0: a session has no limit.
    pub connections: u32,
}

#[cfg(test)]
mod tests {
    use super::{ConnectionLimit, Model, Reason};
    use serde_json::json;

    #[test]
    fn every_reason_is_found_by_its_name() {
        for reason in Reason::ALL {
            assert_eq!(Reason::named(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::named("on fire"), None);
    }
    #[test]
    fn a_model_omits_absent_fields() {
        let none = Model::default();
        assert_eq!(serde_json::to_value(&none).unwrap(), json!({}));
        let model = Model {
            version: Some("7f3a".to_owned()),
            created: Some(1_700_000_000),
            problem: None,
        };
        let json = json!({"version": "7f3a", "created": 1_700_000_000});
        assert_eq!(serde_json::to_value(&model).unwrap(), json);
        assert_eq!(serde_json::from_value::<Model>(json).unwrap(), model);
    }

    #[test]
    fn a_connection_limit_omits_the_account_if_sessions_differ() {
        let limit = ConnectionLimit {
            account: None,
            connections: 64,
        };
        let json = json!({"connections": 64});
        assert_eq!(serde_json::to_value(&limit).unwrap(), json);
        let of_one = json!({"account": "0123456789abcdef", "connections": 64});
        let of_one: ConnectionLimit = serde_json::from_value(of_one).unwrap();
        assert_eq!(of_one.account.as_deref(), Some("0123456789abcdef"));
    }

    #[test]
    fn a_model_of_a_newer_instance_may_have_further_fields() {
        let json = json!({"version": "7f3a", "rows": 5});
        let model: Model = serde_json::from_value(json).unwrap();
        assert_eq!(model.version.as_deref(), Some("7f3a"));
    }
}
