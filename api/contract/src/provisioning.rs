//! Provisioning: the input of `reckon-api provision`, and the report that a deployer receives.
//!
//! The database server, its administrator and the passwords are in environment variables: [`crate::env`]. A [`Task`]
//! contains the step and the resource; a [`Report`] contains the result.

mod owner;
mod password;
mod report;

pub use owner::Owner;
pub use password::{RANDOM_BYTES, generate_password};
pub use report::{InvalidReport, MAX_BYTES, Reason, Report};

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// Maximum time of `reckon-api provision` from its start to its report.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// One step of provisioning, and its resource. JSON in [`crate::env::PROVISION_TASK`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Task {
    /// The resource that the database belongs to.
    pub owner: Owner,
    /// The step.
    pub step: Step,
}

impl Task {
    /// The JSON for [`crate::env::PROVISION_TASK`].
    ///
    /// # Panics
    /// Never: a task is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain data")
    }

    /// Parses the JSON of [`crate::env::PROVISION_TASK`].
    ///
    /// # Errors
    /// It is not a task, or one of a newer version.
    pub fn parse(text: &str) -> Result<Self, InvalidTask> {
        serde_json::from_str(text).map_err(|error| InvalidTask(error.to_string()))
    }
}

/// A string that is not a [`Task`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid provisioning task: {0}")]
pub struct InvalidTask(String);

/// One step. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Step {
    /// Creates and repairs the database, the row of its owner, the account ([`Owner::user_name`]) with
    /// [`crate::env::PROVISION_PASSWORD`] and, if [`crate::env::PROVISION_MIGRATION_PASSWORD`] is set, the account that
    /// migrates ([`Owner::migration_user_name`]), and the account that trains ([`Owner::training_user_name`]) if
    /// [`crate::env::PROVISION_TRAINING_PASSWORD`] is set. During a rotation the older password of the account is accepted as well.
    Ensure {
        /// `MAX_USER_CONNECTIONS` of the account. At most 2,147,483,647.
        max_user_connections: NonZeroU32,
        /// Tables whose rows the account may insert and delete, beside those of `reckon_events`; empty: none. These privileges on
        /// single tables are revoked from every other table. `None`: as empty, for an account that had no table to write to
        /// before. The difference matters if all connections of the account are in use, so that its privileges cannot be
        /// read: then an empty set is an error, and `None` is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        writes: Option<BTreeSet<String>>,
    },
    /// Sets `MAX_USER_CONNECTIONS` of the account, which must exist.
    SetFence {
        /// The limit. At most 2,147,483,647.
        max_user_connections: NonZeroU32,
    },
    /// Adds [`crate::env::PROVISION_NEXT_PASSWORD`] to the account's current password (MySQL 8.0.14 and newer).
    AddPassword,
    /// Discards the password that is not [`crate::env::PROVISION_PASSWORD`], which must open the account.
    DiscardPassword,
}

impl fmt::Display for Step {
    /// The action of the step, to follow `failed to`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ensure { .. } => formatter.write_str("provision the database"),
            Self::SetFence {
                max_user_connections,
            } => write!(
                formatter,
                "set MAX_USER_CONNECTIONS to {max_user_connections}"
            ),
            Self::AddPassword => formatter.write_str("give the database user a second password"),
            Self::DiscardPassword => {
                formatter.write_str("take the former password from the database user")
            }
        }
    }
}

/// The product of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flavour {
    /// Oracle's MySQL, and servers that use its name (Percona Server).
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What a database server reports of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Facts {
    /// The product.
    pub flavour: Flavour,
    /// Major, minor and patch.
    pub version: (u16, u16, u16),
    /// The server's version string: `10.11.14-MariaDB-0+deb12u2`.
    pub version_text: String,
    /// Maximum number of connections from all clients together.
    pub max_connections: u32,
}

impl Facts {
    /// Whether an account can have two passwords for a while: MySQL 8.0.14 and newer.
    #[must_use]
    pub fn can_rotate(&self) -> bool {
        self.flavour == Flavour::MySql && self.version >= (8, 0, 14)
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flavour {
            Flavour::MySql => write!(formatter, "MySQL {}", self.version_text),
            // The version string contains the name.
            Flavour::MariaDb => formatter.write_str(&self.version_text),
        }
    }
}

/// A change that [`Step::Ensure`] made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The database was created.
    DatabaseMade,
    /// An existing empty database was adopted.
    DatabaseAdopted,
    /// The owner's row has another resource's UID: the resource was deleted and created again.
    OwnerRenewed,
    /// The account was created.
    UserMade,
    /// The account had another password and got the required one.
    PasswordSet,
    /// The account got another connection limit.
    FenceSet,
    /// The account got the privilege to read.
    ReadGranted,
    /// The account got the privileges to store events and erase users.
    WriteGranted,
    /// The account lost these privileges, on tables that it is not to change.
    WriteRevoked,
    /// The migration account was created.
    MigrationUserMade,
    /// The migration account had another password and got the required one.
    MigrationPasswordSet,
    /// The migration account got another connection limit.
    MigrationFenceSet,
    /// The migration account got the privileges to create and alter tables.
    MigrationGranted,
    /// The training account was created.
    TrainingUserMade,
    /// The training account had another password and got the required one.
    TrainingPasswordSet,
    /// The training account got another connection limit.
    TrainingFenceSet,
    /// The training account got the privileges to read, and to write the table of models.
    TrainingGranted,
}

/// The SQL statements that remove the accounts and the database. Reckon never runs them; an administrator does, once the
/// data are no longer needed.
#[must_use]
pub fn removal(database: &str, owner: &Owner) -> String {
    format!(
        "DROP USER IF EXISTS '{}'@'%', '{}'@'%', '{}'@'%'; DROP DATABASE IF EXISTS {};",
        owner.user_name(),
        owner.migration_user_name(),
        owner.training_user_name(),
        quoted(database)
    )
}

/// The name of a database or table, quoted for SQL.
#[must_use]
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::{Facts, Flavour, Owner, Step, Task, removal};
    use std::collections::BTreeSet;
    use std::num::NonZeroU32;

    fn owner() -> Owner {
        Owner {
            cluster: "6a1f9d0e-7f0f-4b57-9a54-0a6d2f6f5f11".to_owned(),
            namespace: "shop".to_owned(),
            name: "reckon".to_owned(),
            uid: "1111".to_owned(),
        }
    }

    #[test]
    fn a_task_is_read_as_it_was_written() {
        let max_user_connections = NonZeroU32::MIN;
        for (step, json) in [
            (
                Step::Ensure {
                    max_user_connections,
                    writes: None,
                },
                r#"{"ensure":{"maxUserConnections":1}}"#,
            ),
            (
                Step::Ensure {
                    max_user_connections,
                    writes: Some(BTreeSet::from(["b".to_owned(), "a".to_owned()])),
                },
                r#"{"ensure":{"maxUserConnections":1,"writes":["a","b"]}}"#,
            ),
            (
                Step::SetFence {
                    max_user_connections,
                },
                r#"{"setFence":{"maxUserConnections":1}}"#,
            ),
            (Step::AddPassword, r#""addPassword""#),
            (Step::DiscardPassword, r#""discardPassword""#),
        ] {
            let owner = owner();
            let task = Task { owner, step };
            let text = task.to_json();
            let rest = r#"{"owner":{"cluster":"6a1f9d0e-7f0f-4b57-9a54-0a6d2f6f5f11","namespace":"shop","name":"reckon","uid":"1111"},"step":"#;
            assert_eq!(text, format!("{rest}{json}}}"));
            assert_eq!(Task::parse(&text), Ok(task));
        }
    }

    #[test]
    fn a_task_with_an_unknown_field_or_value_is_rejected() {
        let text = Task {
            owner: owner(),
            step: Step::AddPassword,
        }
        .to_json();
        for (from, to, words) in [
            ("addPassword", "dropDatabase", "unknown variant"),
            ("\"step\"", "\"more\":1,\"step\"", "unknown field `more`"),
            ("\"uid\"", "\"id\"", "unknown field `id`"),
            (
                "\"addPassword\"",
                r#"{"ensure":{"maxUserConnections":0}}"#,
                "nonzero",
            ),
        ] {
            let error = Task::parse(&text.replace(from, to))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("invalid provisioning task: "), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn two_passwords_require_mysql_8_0_14() {
        for (flavour, version, can_rotate) in [
            (Flavour::MySql, (9, 7, 4), true),
            (Flavour::MySql, (8, 0, 14), true),
            (Flavour::MySql, (8, 0, 13), false),
            (Flavour::MariaDb, (10, 11, 14), false),
        ] {
            let facts = Facts {
                flavour,
                version,
                version_text: String::new(),
                max_connections: 151,
            };
            assert_eq!(facts.can_rotate(), can_rotate, "{version:?}");
        }
    }

    #[test]
    fn removal_drops_the_accounts_and_the_database() {
        assert_eq!(
            removal("a`b", &owner()),
            "DROP USER IF EXISTS 'reckon_8f5c875f4834f78a04953513'@'%', 'reckonm_8f5c875f4834f78a04953513'@'%', \
             'reckont_8f5c875f4834f78a04953513'@'%'; \
             DROP DATABASE IF EXISTS `a``b`;"
        );
    }
}
