//! Where a store's data is.

use super::mysql::Address;
use std::path::PathBuf;

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Location {
    /// A MySQL or MariaDB server.
    MySql(Address),
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Location {
    /// The address of the data as processes must agree on it to share a cache.
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
