//! The statements as data: their SQL, purpose and required privilege. Nothing is executed here.

use super::role::Role;
use reckon_contract::provisioning::{Owner, quoted};
use secrecy::{ExposeSecret as _, SecretString};
use std::num::NonZeroU32;

/// The table with the owner's row.
pub(super) const OWNER_TABLE: &str = "reckon_owner";

/// The table of trained models.
pub(super) const MODEL_TABLE: &str = "reckon_model";

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    /// What it does, for messages: `create the account ...`.
    pub action: String,
    /// Its text.
    pub sql: String,
    /// The privilege that it requires.
    pub right: String,
    /// A password in the SQL text.
    pub secret: Option<SecretString>,
}

/// A string literal for sessions without `NO_BACKSLASH_ESCAPES`, as ours are.
pub(super) fn text(text: &str) -> String {
    let text = text.replace('\\', r"\\").replace('\'', "''");
    format!("'{}'", text.replace('\0', r"\0"))
}

/// A database name in a `GRANT`. If `patterns` is set, `_` and `%` match other characters in a `GRANT`, so they are
/// escaped. On MySQL with `partial_revokes`, they do not.
pub(super) fn granted(database: &str, patterns: bool) -> String {
    quoted(&pattern(database, patterns))
}

fn pattern(database: &str, patterns: bool) -> String {
    if patterns {
        let escaped = database.replace('\\', r"\\");
        escaped.replace('_', r"\_").replace('%', r"\%")
    } else {
        database.to_owned()
    }
}

/// The account, from any host: pods may have any address.
pub(super) fn account(user: &str) -> String {
    format!("{}@'%'", text(user))
}

fn owner_table(database: &str) -> String {
    format!("{}.`{OWNER_TABLE}`", quoted(database))
}

fn on(database: &str, rights: &str) -> String {
    format!("{rights} on {}.*", quoted(database))
}

fn plain(action: impl Into<String>, sql: impl Into<String>, right: impl Into<String>) -> Statement {
    Statement {
        action: action.into(),
        sql: sql.into(),
        right: right.into(),
        secret: None,
    }
}

/// Settings of a session: strings are quoted in one way, writes are always committed (`init_connect` may disable this),
/// and a lock wait never exceeds the client's timeout.
pub(super) fn begin_session() -> Statement {
    plain(
        "set the session's limits",
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES', autocommit = 1, sql_safe_updates = 0, lock_wait_timeout = 8, \
         innodb_lock_wait_timeout = 8",
        "",
    )
}

pub(super) fn variables() -> Statement {
    plain(
        "query the server's version",
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'max_connections', 'partial_revokes', \
         'lower_case_table_names')",
        "",
    )
}

pub(super) fn read_owner(database: &str) -> Statement {
    plain(
        format!("read the owner of the database {database}"),
        format!(
            "SELECT `id`, `cluster`, `namespace`, `name`, `uid`, `account`, `account_made` FROM {}",
            owner_table(database)
        ),
        on(database, "SELECT"),
    )
}

pub(super) fn database_exists(database: &str) -> Statement {
    plain(
        format!("check whether the database {database} exists"),
        format!(
            "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {}",
            text(database)
        ),
        "",
    )
}

pub(super) fn count_tables(database: &str) -> Statement {
    plain(
        format!("count the tables of the database {database}"),
        format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME <> '{OWNER_TABLE}'",
            text(database)
        ),
        "",
    )
}

pub(super) fn make_database(database: &str) -> Statement {
    // Categories are compared as bytes, as in `reckon-api migrate`.
    plain(
        format!("create the database {database}"),
        format!(
            "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            quoted(database)
        ),
        on(database, "CREATE"),
    )
}

pub(super) fn make_owner_table(database: &str) -> Statement {
    // The key has only one possible value. So if two owners claim the database, one of them fails.
    plain(
        format!("create the table {OWNER_TABLE} in the database {database}"),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (`id` TINYINT NOT NULL PRIMARY KEY, `cluster` VARCHAR(255) NOT NULL, \
             `namespace` VARCHAR(255) NOT NULL, `name` VARCHAR(255) NOT NULL, `uid` VARCHAR(255) NOT NULL, \
             `account` VARCHAR(32) NOT NULL, `account_made` TINYINT NOT NULL) \
             ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
            owner_table(database)
        ),
        on(database, "CREATE"),
    )
}

/// The owner's row with its account, which does not exist yet.
pub(super) fn claim(database: &str, owner: &Owner) -> Statement {
    plain(
        format!("record the owner of the database {database}"),
        insert(database, owner, Role::Reader, false),
        on(database, "INSERT"),
    )
}

fn insert(database: &str, owner: &Owner, role: Role, is_made: bool) -> String {
    format!(
        "INSERT INTO {} VALUES ({}, {}, {}, {}, {}, {}, {})",
        owner_table(database),
        role.row(),
        text(&owner.cluster),
        text(&owner.namespace),
        text(&owner.name),
        text(&owner.uid),
        text(&role.user(owner)),
        u8::from(is_made)
    )
}

pub(super) fn renew(database: &str, owner: &Owner) -> Statement {
    let table = owner_table(database);
    plain(
        format!("record the owner of the database {database}"),
        format!("UPDATE {table} SET `uid` = {}", text(&owner.uid)),
        on(database, "UPDATE"),
    )
}

/// Records that the account was created, whether there is a row for it or not.
pub(super) fn note_account(database: &str, owner: &Owner, role: Role) -> Statement {
    let user = role.user(owner);
    plain(
        format!("record the creation of the account {user}"),
        format!(
            "{} ON DUPLICATE KEY UPDATE `account` = {}, `account_made` = 1",
            insert(database, owner, role, true),
            text(&user)
        ),
        on(database, "INSERT and UPDATE"),
    )
}

pub(super) fn make_account(user: &str, password: &SecretString, fence: NonZeroU32) -> Statement {
    // No person would renew an expired password.
    with_password(
        format!("create the account {user}"),
        format!(
            "CREATE USER {} IDENTIFIED BY {} WITH MAX_USER_CONNECTIONS {fence} PASSWORD EXPIRE NEVER",
            account(user),
            text(password.expose_secret())
        ),
        password,
    )
}

pub(super) fn set_password(user: &str, password: &SecretString) -> Statement {
    with_password(
        format!("set the password of the account {user}"),
        format!(
            "ALTER USER {} IDENTIFIED BY {}",
            account(user),
            text(password.expose_secret())
        ),
        password,
    )
}

pub(super) fn add_password(user: &str, password: &SecretString) -> Statement {
    with_password(
        format!("add a password to the account {user}"),
        format!(
            "ALTER USER {} IDENTIFIED BY {} RETAIN CURRENT PASSWORD",
            account(user),
            text(password.expose_secret())
        ),
        password,
    )
}

fn with_password(action: String, sql: String, password: &SecretString) -> Statement {
    Statement {
        action,
        sql,
        right: "CREATE USER on *.*".to_owned(),
        secret: Some(password.clone()),
    }
}

pub(super) fn discard_password(user: &str) -> Statement {
    plain(
        format!("discard the old password of the account {user}"),
        format!("ALTER USER {} DISCARD OLD PASSWORD", account(user)),
        "CREATE USER on *.*",
    )
}

pub(super) fn set_fence(user: &str, fence: NonZeroU32) -> Statement {
    plain(
        format!("limit the connections of the account {user}"),
        format!(
            "ALTER USER {} WITH MAX_USER_CONNECTIONS {fence}",
            account(user)
        ),
        "CREATE USER on *.*",
    )
}

pub(super) fn grant(database: &str, user: &str, privileges: &[&str], patterns: bool) -> Statement {
    let privileges = privileges.join(", ");
    plain(
        format!("grant the account {user} {privileges} on the database {database}"),
        format!(
            "GRANT {privileges} ON {}.* TO {}",
            granted(database, patterns),
            account(user)
        ),
        on(database, &format!("{privileges} with GRANT OPTION")),
    )
}

/// The same for one table only. Without `CREATE` among the privileges, the table must exist.
pub(super) fn grant_on_table(
    database: &str,
    user: &str,
    table: &str,
    privileges: &[&str],
) -> Statement {
    let privileges = privileges.join(", ");
    plain(
        format!("grant the account {user} {privileges} on the table {table}"),
        format!(
            "GRANT {privileges} ON {}.{} TO {}",
            quoted(database),
            quoted(table),
            account(user)
        ),
        on(database, &format!("{privileges} with GRANT OPTION")),
    )
}

/// The opposite of [`grant_on_table`]. The table need not exist.
pub(super) fn revoke_on_table(
    database: &str,
    user: &str,
    table: &str,
    privileges: &[&str],
) -> Statement {
    let privileges = privileges.join(", ");
    plain(
        format!("revoke {privileges} on the table {table} from the account {user}"),
        format!(
            "REVOKE {privileges} ON {}.{} FROM {}",
            quoted(database),
            quoted(table),
            account(user)
        ),
        on(database, &format!("{privileges} with GRANT OPTION")),
    )
}

/// Selects those of `privileges` that [`grant_on_table`] has granted to the session's own account, `user`: the table
/// and the privilege.
pub(super) fn table_privileges(database: &str, user: &str, privileges: &[&str]) -> Statement {
    let privileges: Vec<_> = privileges.iter().copied().map(text).collect();
    plain(
        "query the account's privileges",
        format!(
            "SELECT TABLE_NAME, PRIVILEGE_TYPE FROM information_schema.TABLE_PRIVILEGES \
             WHERE TABLE_SCHEMA = {} AND GRANTEE = {} AND PRIVILEGE_TYPE IN ({})",
            text(database),
            text(&account(user)),
            privileges.join(", ")
        ),
        "",
    )
}

/// How many of these privileges the session's own account has been granted on the table of models by [`grant_on_table`].
pub(super) fn count_privileges_on_models(database: &str, privileges: &[&str]) -> Statement {
    let privileges: Vec<_> = privileges.iter().copied().map(text).collect();
    plain(
        "query the account's privileges",
        format!(
            "SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.TABLE_PRIVILEGES \
             WHERE TABLE_SCHEMA = {} AND TABLE_NAME = '{MODEL_TABLE}' AND PRIVILEGE_TYPE IN ({})",
            text(database),
            privileges.join(", ")
        ),
        "",
    )
}

/// How many of these privileges the session's own account has been granted by [`grant`].
pub(super) fn count_privileges(database: &str, privileges: &[&str], patterns: bool) -> Statement {
    let privileges: Vec<_> = privileges.iter().copied().map(text).collect();
    plain(
        "query the account's privileges",
        format!(
            "SELECT COUNT(DISTINCT PRIVILEGE_TYPE) FROM information_schema.SCHEMA_PRIVILEGES \
             WHERE TABLE_SCHEMA = {} AND PRIVILEGE_TYPE IN ({})",
            text(&pattern(database, patterns)),
            privileges.join(", ")
        ),
        "",
    )
}

/// Selects the session's connection limit, which is the account's limit if the account has one.
pub(super) fn read_fence() -> Statement {
    plain(
        "query the account's connection limit",
        "SELECT @@SESSION.max_user_connections",
        "",
    )
}

/// Allows only one session at a time to change the passwords of an account; the lock ends with the session.
pub(super) fn lock_rotation(user: &str) -> Statement {
    plain(
        format!("wait for another rotation of the account {user}"),
        format!("SELECT GET_LOCK({}, 8)", text(user)),
        "",
    )
}

/// The statements that transfer a database with tables to `owner`. A person runs them before [`ensure`](super::ensure).
#[must_use]
pub fn adoption(database: &str, owner: &Owner) -> String {
    format!(
        "{}; {};",
        make_owner_table(database).sql,
        claim(database, owner).sql
    )
}

#[cfg(test)]
mod tests {
    use super::{account, granted, text};

    #[test]
    fn texts_and_names_are_escaped() {
        assert_eq!(text(r"a'b\c"), r"'a''b\\c'");
        assert_eq!(text(r"\'; DROP USER root"), r"'\\''; DROP USER root'");
        assert_eq!(account("reckon_1"), "'reckon_1'@'%'");
    }

    #[test]
    fn a_grant_is_for_one_database() {
        assert_eq!(granted("shop_a%", true), r"`shop\_a\%`");
        assert_eq!(granted("shop_a%", false), "`shop_a%`");
    }
}
