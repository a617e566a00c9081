//! `reckon-api provision`: runs one step and writes its report, even after a failure.

use super::{Wanted, ensure, failure, set_fence};
use super::{error::Error, rotation};
use crate::error_line::error_line;
use crate::store::location::Location;
use crate::store::mysql::{Address, check_authorities};
use anyhow::{Context as _, bail};
use reckon_contract::env;
use reckon_contract::provisioning::{Change, DEADLINE, Facts, Owner, Report, Step, Task};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// The task, the passwords and the server.
#[derive(Clone)]
pub struct Provision {
    /// JSON of the [`Task`].
    pub task: String,
    /// Password of the account that reads.
    pub password: Option<SecretString>,
    /// Password that is added to the account's current one.
    pub next_password: Option<SecretString>,
    /// Password of the account that migrates; unset: there is no such account.
    pub migration_password: Option<SecretString>,
    /// Password of the account that trains; unset: there is no such account.
    pub training_password: Option<SecretString>,
    /// File that the report is written to.
    pub termination_log: PathBuf,
    /// The server and its administrator account.
    pub location: Location,
}

impl Provision {
    /// Every given password.
    fn passwords(&self) -> Vec<&str> {
        let Self {
            task: _,
            password,
            next_password,
            migration_password,
            training_password,
            termination_log: _,
            location,
        } = self;
        let admin = match location {
            Location::MySql(server) => Some(&server.password),
            Location::Sqlite(_) => None,
        };
        let own = [
            password,
            next_password,
            migration_password,
            training_password,
        ];
        let all = own.into_iter().flatten().chain(admin);
        all.map(SecretString::expose_secret).collect()
    }
}

/// Runs the step in `args`, and writes the report.
///
/// # Errors
/// The step failed, or the report could not be written.
pub async fn provision(args: &Provision) -> anyhow::Result<()> {
    let report = report(args, DEADLINE).await.without(&args.passwords());
    std::fs::write(&args.termination_log, report.to_message()).with_context(|| {
        format!(
            "failed to write the report to {} ({})",
            args.termination_log.display(),
            env::TERMINATION_LOG
        )
    })?;
    match report {
        Report::Done { facts, changes } => {
            for change in changes {
                println!("{}", sentence(change));
            }
            println!("done on {facts}");
            Ok(())
        }
        Report::Failed { reason, message } => bail!("{reason}: {message}"),
    }
}

async fn report(args: &Provision, deadline: Duration) -> Report {
    match step(args, deadline).await {
        Ok((facts, changes)) => Report::Done { facts, changes },
        Err(error) => Report::Failed {
            reason: error.reason(),
            message: error.to_string(),
        },
    }
}

async fn step(args: &Provision, deadline: Duration) -> Result<(Facts, Vec<Change>), Error> {
    let Task { owner, step } = Task::parse(&args.task).map_err(|error| Error::Other {
        action: format!("read the task ({})", env::PROVISION_TASK),
        message: error.to_string(),
    })?;
    let Location::MySql(server) = &args.location else {
        return Err(missing(&step, env::DB_HOST));
    };
    let checked = server.tls_ca.as_deref().map_or(Ok(()), check_authorities);
    checked.map_err(|error| Error::Certificate {
        address: failure::address(server),
        message: error_line(&error),
    })?;
    // A separate task, because the driver panics on some packets, and a server may be arbitrarily slow.
    let mut running = tokio::spawn(run(server.clone(), owner, step.clone(), args.clone()));
    match timeout(deadline, &mut running).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err(Error::Other {
            action: step.to_string(),
            message: "the database driver panicked on what the server sent".to_owned(),
        }),
        Err(_) => {
            running.abort();
            Err(Error::Other {
                action: step.to_string(),
                message: format!("not done within {} s", deadline.as_secs()),
            })
        }
    }
}

async fn run(
    server: Address,
    owner: Owner,
    step: Step,
    args: Provision,
) -> Result<(Facts, Vec<Change>), Error> {
    let given =
        |secret: Option<SecretString>, variable| secret.ok_or_else(|| missing(&step, variable));
    let facts = match step.clone() {
        Step::Ensure {
            max_user_connections,
            writes,
        } => {
            let wanted = Wanted {
                owner,
                password: given(args.password, env::PROVISION_PASSWORD)?,
                max_user_connections,
                writes,
                migration_password: args.migration_password,
                training_password: args.training_password,
            };
            let done = ensure(&server, &wanted).await?;
            return Ok((done.facts, done.changes));
        }
        Step::SetFence {
            max_user_connections,
        } => set_fence(&server, &owner, max_user_connections).await?,
        Step::AddPassword => {
            let next = given(args.next_password, env::PROVISION_NEXT_PASSWORD)?;
            rotation::begin(&server, &owner, &next).await?
        }
        Step::DiscardPassword => {
            let current = given(args.password, env::PROVISION_PASSWORD)?;
            rotation::finish(&server, &owner, &current).await?
        }
    };
    Ok((facts, Vec::new()))
}

fn missing(step: &Step, variable: &str) -> Error {
    Error::Other {
        action: step.to_string(),
        message: format!("{variable} is not set"),
    }
}

fn sentence(change: Change) -> &'static str {
    match change {
        Change::DatabaseMade => "database created",
        Change::DatabaseAdopted => "empty database adopted",
        Change::OwnerRenewed => "owner renewed",
        Change::UserMade => "account created",
        Change::PasswordSet => "account: password set",
        Change::FenceSet => "account: connection limit set",
        Change::ReadGranted => "account: allowed to read",
        Change::WriteGranted => "account: allowed to store events and erase users",
        Change::WriteRevoked => "account: no longer allowed to change rows of other tables",
        Change::MigrationUserMade => "migration account created",
        Change::MigrationPasswordSet => "migration account: password set",
        Change::MigrationFenceSet => "migration account: connection limit set",
        Change::MigrationGranted => "migration account: allowed to create and alter tables",
        Change::TrainingUserMade => "training account created",
        Change::TrainingPasswordSet => "training account: password set",
        Change::TrainingFenceSet => "training account: limit of connections set",
        Change::TrainingGranted => "training account: allowed to read, and to write models",
    }
}

#[cfg(test)]
mod tests {
    use super::{Provision, report};
    use crate::store::location::Location;
    use crate::store::mysql::{Address, Tls};
    use reckon_contract::provisioning::{Owner, Reason, Report, Step, Task};
    use std::num::NonZeroU32;
    use std::time::Duration;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_step_that_takes_too_long_is_reported() {
        // This server accepts connections, but sends nothing.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let text = || "shop".to_owned();
        let task = Task {
            owner: Owner {
                cluster: text(),
                namespace: text(),
                name: text(),
                uid: text(),
            },
            step: Step::SetFence {
                max_user_connections: NonZeroU32::MIN,
            },
        };
        let provision = Provision {
            task: task.to_json(),
            password: None,
            next_password: None,
            migration_password: None,
            training_password: None,
            termination_log: "nowhere".into(),
            location: Location::MySql(Address {
                host: "127.0.0.1".to_owned(),
                port: silent.local_addr().unwrap().port(),
                user: "provisioner".to_owned(),
                password: "".into(),
                database: "shop".to_owned(),
                tls: Tls::Disabled,
                tls_ca: None,
            }),
        };
        let expected = Report::Failed {
            reason: Reason::ProvisioningFailed,
            message: "failed to set MAX_USER_CONNECTIONS to 1: not done within 1 s".to_owned(),
        };
        assert_eq!(report(&provision, Duration::from_secs(1)).await, expected);
    }
}
