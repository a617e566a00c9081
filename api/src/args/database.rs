//! Options of the database.

use crate::args::values::port;
use crate::store::location::Location;
use crate::store::mysql::{self, Address, FileError, check_authorities};
use clap::{Args, ValueEnum};
use reckon_contract::env;
use secrecy::SecretString;
use std::path::PathBuf;

/// The database: a MySQL or MariaDB server, or a SQLite file.
#[derive(Clone, Debug, Args)]
pub struct Database {
    /// Host of the MySQL or MariaDB server. Unset: a SQLite file is used.
    #[arg(long, env = env::DB_HOST, value_name = "HOST")]
    db_host: Option<String>,
    /// Port of the database server.
    #[arg(long, env = env::DB_PORT, value_parser = port, default_value_t = 3306, value_name = "PORT")]
    db_port: u16,
    /// Database user.
    #[arg(long, env = env::DB_USER, default_value = "root", value_name = "USER")]
    db_user: String,
    /// Password of the database user. Prefer the variable: other users of the machine can read the options of a process.
    #[arg(long, env = env::DB_PASSWORD, default_value = "", hide_env_values = true, hide_default_value = true,
        value_name = "PASSWORD")]
    db_password: SecretString,
    /// Name of the database (schema).
    #[arg(long, env = env::DB_NAME, default_value = "searches", value_name = "NAME")]
    db_name: String,
    /// TLS to the database server. Only `verify-ca` and `verify-full` protect the password from an active attacker.
    #[arg(long, env = env::DB_TLS, default_value = "preferred", value_name = "MODE")]
    db_tls: Tls,
    /// PEM file with certificate authorities that `verify-ca` and `verify-full` trust in addition to those of the system.
    #[arg(long, env = env::DB_TLS_CA, required_if_eq("db_tls", "verify-ca"), value_name = "FILE")]
    db_tls_ca: Option<PathBuf>,
    /// SQLite file. Unset: `reckon/reckon.db` in the user's data directory.
    #[arg(long, env = env::DATA, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// Protection of the connection to the database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// No TLS. An eavesdropper reads the data, an active attacker gets the password.
    Disabled,
    /// TLS if the server offers it; no certificate is checked. An active attacker gets the password.
    Preferred,
    /// TLS always; no certificate is checked. An active attacker gets the password.
    Required,
    /// TLS. The certificate must come from a trusted authority; it may name any host.
    VerifyCa,
    /// TLS. The certificate must come from a trusted authority and name the host.
    VerifyFull,
}

impl From<Tls> for mysql::Tls {
    fn from(tls: Tls) -> Self {
        match tls {
            Tls::Disabled => Self::Disabled,
            Tls::Preferred => Self::Preferred,
            Tls::Required => Self::Required,
            Tls::VerifyCa => Self::VerifyCa,
            Tls::VerifyFull => Self::VerifyFull,
        }
    }
}

impl Database {
    /// Checks the file of certificate authorities, so that the start fails if it is invalid.
    ///
    /// # Errors
    /// The file has no certificates.
    pub fn check(&self) -> Result<(), FileError> {
        self.db_tls_ca.as_deref().map_or(Ok(()), check_authorities)
    }

    /// The server if there is a host, otherwise the file.
    #[must_use]
    pub fn location(&self) -> Location {
        match self.db_host.as_deref().filter(|host| !host.is_empty()) {
            Some(host) => Location::MySql(Address {
                // Only a URL needs the brackets around an IPv6 address.
                host: host.trim_matches(['[', ']']).to_owned(),
                port: self.db_port,
                user: self.db_user.clone(),
                password: self.db_password.clone(),
                database: self.db_name.clone(),
                tls: self.db_tls.into(),
                tls_ca: self.db_tls_ca.clone(),
            }),
            None => Location::Sqlite(self.data.clone().unwrap_or_else(default_file)),
        }
    }
}

/// `reckon/reckon.db` under the user's data directory (XDG Base Directory Specification).
fn default_file() -> PathBuf {
    let directory = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    let home = || {
        std::env::home_dir()
            .unwrap_or_default()
            .join(".local/share")
    };
    directory
        .filter(|directory| directory.is_absolute())
        .unwrap_or_else(home)
        .join("reckon/reckon.db")
}

#[cfg(test)]
mod tests {
    use crate::args::Cli;
    use crate::store::location::Location;
    use clap::Parser as _;

    #[test]
    fn a_host_selects_mysql_and_none_selects_sqlite() {
        let location = |arguments: &[&str]| {
            Cli::try_parse_from(arguments)
                .unwrap()
                .serve
                .database
                .location()
        };
        assert!(
            matches!(location(&["reckon-api", "--db-host", "db"]), Location::MySql(address) if address.port == 3306)
        );
        assert!(
            matches!(location(&["reckon-api", "--db-host", "[::1]"]), Location::MySql(address) if address.host == "::1")
        );
        assert!(matches!(
            location(&["reckon-api", "--db-host", "", "--data", "x.db"]),
            Location::Sqlite(_)
        ));
    }
}
