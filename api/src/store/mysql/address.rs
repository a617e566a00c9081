//! The address of a server, and how the connection to it is protected.

use super::relay;
use reckon_contract::env;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use std::io;
use std::path::{Path, PathBuf};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Never encrypted: an eavesdropper can read the data, and an impostor of the server gets the password.
    Disabled,
    /// Encrypted if the server supports it; no certificate is checked. No protection against an impostor of the server.
    #[default]
    Preferred,
    /// Encrypted or refused; no certificate is checked. Protects from eavesdroppers only: an impostor of the server gets the
    /// password.
    Required,
    /// Encrypted, with a certificate of a trusted authority; the certificate may have any name.
    VerifyCa,
    /// Encrypted, with a certificate of a trusted authority that contains the host name.
    VerifyFull,
}

/// The server's address and our account.
#[derive(Clone, Debug)]
pub struct Address {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// The user's password.
    pub password: SecretString,
    /// Database (schema) of the tables.
    pub database: String,
    /// Protection of the connection.
    pub tls: Tls,
    /// PEM file of the authorities that [`Tls::VerifyCa`] and [`Tls::VerifyFull`] trust in addition to those of the system.
    pub tls_ca: Option<PathBuf>,
}

impl Address {
    /// The driver's options for connecting to the database.
    pub(crate) fn options(&self) -> MySqlConnectOptions {
        self.login().database(&self.database)
    }

    /// The driver's options for connecting to the server, without choosing a database.
    pub(crate) fn login(&self) -> MySqlConnectOptions {
        let options = MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .username(&self.user)
            .ssl_mode(match self.tls {
                Tls::Disabled => MySqlSslMode::Disabled,
                Tls::Preferred => MySqlSslMode::Preferred,
                Tls::Required => MySqlSslMode::Required,
                Tls::VerifyCa => MySqlSslMode::VerifyCa,
                Tls::VerifyFull => MySqlSslMode::VerifyIdentity,
            })
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        // The driver would send a proof of the empty password, which an account without a password refuses.
        let options = match self.password.expose_secret() {
            "" => options,
            password => options.password(password),
        };
        match &self.tls_ca {
            Some(path) => options.ssl_ca(path),
            None => options,
        }
    }

    /// The relay's settings.
    pub(crate) fn relay(&self) -> relay::Server {
        relay::Server {
            host: self.host.clone(),
            port: self.port,
            is_verified: matches!(self.tls, Tls::VerifyCa | Tls::VerifyFull),
        }
    }
}

/// Why a file of authorities is invalid.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// It cannot be read.
    #[error("failed to read it")]
    Read(#[source] io::Error),
    /// It contains no certificate.
    #[error("there is no certificate in it")]
    Empty,
    /// A certificate in it is invalid.
    #[error("what it holds is not a certificate")]
    NotACertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// An invalid file.
#[derive(Debug, thiserror::Error)]
#[error("{} ({})", .path.display(), env::DB_TLS_CA)]
pub struct FileError {
    path: PathBuf,
    source: AuthoritiesError,
}

/// Reads the file of authorities as the driver does for each connection, to check that it is valid.
///
/// # Errors
/// See [`AuthoritiesError`].
pub fn check_authorities(path: &Path) -> Result<(), FileError> {
    read_authorities(path).map_err(|source| FileError {
        path: path.to_owned(),
        source,
    })
}

fn read_authorities(path: &Path) -> Result<(), AuthoritiesError> {
    let text = std::fs::read(path).map_err(AuthoritiesError::Read)?;
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate =
            certificate.map_err(|error| AuthoritiesError::NotACertificate(error.into()))?;
        authorities
            .add(certificate)
            .map_err(|error| AuthoritiesError::NotACertificate(error.into()))?;
    }
    if authorities.is_empty() {
        return Err(AuthoritiesError::Empty);
    }
    Ok(())
}
