//! Where the database server is, who we are there, and what it is.

use super::secret::Secret;
use std::fmt;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never encrypted.
    Disabled,
    /// Encrypted if the server can; its certificate is not checked.
    #[default]
    Preferred,
    /// Encrypted or refused; the certificate is not checked.
    Required,
    /// Encrypted, with a certificate of a known authority that names the host.
    VerifyFull,
}

/// A MySQL or MariaDB server with the account that administers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The administering account; see [`super::grants::needed`] for what it must be allowed.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Protection of the connection.
    pub tls: Tls,
    /// PEM text of authorities that [`Tls::VerifyFull`] trusts beside those of the system; `None`: only those.
    pub authorities: Option<Vec<u8>>,
}

impl Server {
    /// `host:port`, for messages.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Oracle's MySQL and what calls itself so (Percona Server).
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What the server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub flavour: Flavour,
    /// Major, minor and patch.
    pub version: (u16, u16, u16),
    /// Its own words: `10.11.14-MariaDB-0+deb12u2`.
    pub version_text: String,
    /// Most connections that it takes from everybody together.
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
            // It names itself.
            Flavour::MariaDb => formatter.write_str(&self.version_text),
        }
    }
}
