//! The roles of the accounts.

use reckon_contract::provisioning::{Change, Owner};

/// The role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Reads.
    Reader,
    /// Creates tables and indexes.
    Migrator,
    /// Reads, and writes the table of models.
    Trainer,
}

impl Role {
    /// The name of the owner's account in this role.
    pub fn user(self, owner: &Owner) -> String {
        match self {
            Self::Reader => owner.user_name(),
            Self::Migrator => owner.migration_user_name(),
            Self::Trainer => owner.training_user_name(),
        }
    }

    /// The key of its row in the owner's table.
    pub fn row(self) -> u8 {
        match self {
            Self::Reader => 1,
            Self::Migrator => 2,
            Self::Trainer => 3,
        }
    }

    /// Its privileges on every table of the database, in the syntax of `GRANT`. An `ALTER TABLE` requires `CREATE` and
    /// `INSERT` too.
    pub fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Reader | Self::Trainer => &["SELECT"],
            Self::Migrator => &["SELECT", "INSERT", "UPDATE", "CREATE", "ALTER", "INDEX"],
        }
    }

    /// Its further privileges on the table of models. Because `CREATE` is one of them, the table need not exist when
    /// they are granted. This is needed because the account is created before the migration creates the table.
    pub fn privileges_on_models(self) -> &'static [&'static str] {
        match self {
            Self::Reader | Self::Migrator => &[],
            Self::Trainer => &["INSERT", "DELETE", "CREATE"],
        }
    }

    pub fn made(self) -> Change {
        match self {
            Self::Reader => Change::UserMade,
            Self::Migrator => Change::MigrationUserMade,
            Self::Trainer => Change::TrainingUserMade,
        }
    }

    pub fn password_set(self) -> Change {
        match self {
            Self::Reader => Change::PasswordSet,
            Self::Migrator => Change::MigrationPasswordSet,
            Self::Trainer => Change::TrainingPasswordSet,
        }
    }

    pub fn fence_set(self) -> Change {
        match self {
            Self::Reader => Change::FenceSet,
            Self::Migrator => Change::MigrationFenceSet,
            Self::Trainer => Change::TrainingFenceSet,
        }
    }

    pub fn granted(self) -> Change {
        match self {
            Self::Reader => Change::ReadGranted,
            Self::Migrator => Change::MigrationGranted,
            Self::Trainer => Change::TrainingGranted,
        }
    }
}
