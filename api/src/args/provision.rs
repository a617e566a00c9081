//! Options of `provision`.

use crate::args::database::Database;
use crate::provision::task;
use clap::Args;
use reckon_contract::env;
use secrecy::SecretString;
use std::path::PathBuf;

/// Options of `provision`. The database user is the server's administrator.
#[derive(Clone, Debug, Args)]
pub struct Provision {
    /// The step and its resource, as JSON.
    #[arg(long, env = env::PROVISION_TASK, value_name = "JSON")]
    pub task: String,
    /// Password of the account that reads. Prefer the variable: other users of the machine can read the options of a process.
    #[arg(long, env = env::PROVISION_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub password: Option<SecretString>,
    /// Second password of this account, which is added to the first one during a rotation.
    #[arg(long, env = env::PROVISION_NEXT_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub next_password: Option<SecretString>,
    /// Password of the account that migrates. Unset: there is no such account.
    #[arg(long, env = env::PROVISION_MIGRATION_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub migration_password: Option<SecretString>,
    /// Password of the account that trains. Unset: there is no such account.
    #[arg(long, env = env::PROVISION_TRAINING_PASSWORD, hide_env_values = true, value_name = "PASSWORD")]
    pub training_password: Option<SecretString>,
    /// File to which the report is written.
    #[arg(long, env = env::TERMINATION_LOG, default_value = "/dev/termination-log", value_name = "FILE")]
    pub termination_log: PathBuf,
    /// The database server.
    #[command(flatten)]
    pub database: Database,
}

impl Provision {
    /// The step, with the parsed address of the server.
    #[must_use]
    pub fn resolve(self) -> task::Provision {
        let Self {
            task,
            password,
            next_password,
            migration_password,
            training_password,
            termination_log,
            database,
        } = self;
        task::Provision {
            task,
            password,
            next_password,
            migration_password,
            training_password,
            termination_log,
            location: database.location(),
        }
    }
}
