//! The roles of the accounts.

use reckon_contract::provisioning::{Change, Owner};

/// The role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads.
    Reader,
    /// Creates tables and indexes.
    Migrator,
}

impl Role {
    /// The name of the owner's account in this role.
    pub fn user(self, owner: &Owner) -> String {
        match self {
            Self::Reader => owner.user_name(),
            Self::Migrator => owner.migration_user_name(),
        }
    }

    /// The key of its row in the owner's table.
    pub fn row(self) -> u8 {
        match self {
            Self::Reader => 1,
            Self::Migrator => 2,
        }
    }

    /// Its privileges on every table of the database, in the syntax of `GRANT`. An `ALTER TABLE` requires `CREATE` and
    /// `INSERT` too.
    pub fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Reader => &["SELECT"],
            Self::Migrator => &["SELECT", "INSERT", "UPDATE", "CREATE", "ALTER", "INDEX"],
        }
    }

    pub fn made(self) -> Change {
        match self {
            Self::Reader => Change::UserMade,
            Self::Migrator => Change::MigrationUserMade,
        }
    }

    pub fn password_set(self) -> Change {
        match self {
            Self::Reader => Change::PasswordSet,
            Self::Migrator => Change::MigrationPasswordSet,
        }
    }

    pub fn fence_set(self) -> Change {
        match self {
            Self::Reader => Change::FenceSet,
            Self::Migrator => Change::MigrationFenceSet,
        }
    }

    pub fn granted(self) -> Change {
        match self {
            Self::Reader => Change::ReadGranted,
            Self::Migrator => Change::MigrationGranted,
        }
    }
}
