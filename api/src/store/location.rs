//! The location of a store's data.

use super::mysql::Address;
use std::path::PathBuf;

/// The location of the data.
#[derive(Clone, Debug)]
pub enum Location {
    /// A MySQL or MariaDB server.
    MySql(Address),
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Location {
    /// The location of the data as a string; processes that share a cache must agree on it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::MySql(address) => {
                format!("{}:{}/{}", address.host, address.port, address.database)
            }
            Self::Sqlite(path) => {
                let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                path.display().to_string()
            }
        }
    }
}
