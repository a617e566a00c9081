//! `reckon-api provision` as a process: its variables, its report and its exit code.

use super::fixture::{
    ADMIN_PASSWORD, DATABASE, MIGRATION_PASSWORD, PASSWORD, connect, connect_migrator, fence,
    fixture, owner, server, wanted,
};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::process::Signal;
use crate::harness::sql_server::Flavour;
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::{Change, MAX_BYTES, Reason, Report, Step, Task};
use secrecy::ExposeSecret as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use tempfile::NamedTempFile;

/// More time than the deadline of a step, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(90);
const NEXT: &str = "second-password-Aa1";

const ENSURE: Step = Step::Ensure {
    max_user_connections: std::num::NonZeroU32::new(5).unwrap(),
    writes: None,
};

/// The program with its variables, and the file for its report.
pub struct Provision {
    command: ApiCommand,
    report: NamedTempFile,
}

/// The program while it runs.
pub struct Running {
    process: ApiProcess,
    report: NamedTempFile,
    began: Instant,
}

/// The result of a run.
pub struct Ran {
    pub report: Report,
    pub lines: Vec<String>,
    pub took: Duration,
}

impl Provision {
    /// A step as the administrator of `server`, with the passwords that the step takes.
    pub fn step(server: &Address, step: Step) -> Self {
        let owner = wanted().owner;
        let task = Task { owner, step };
        let report = NamedTempFile::new().unwrap();
        // A file as the kubelet creates it. Its content is replaced.
        fs::write(&report, "x".repeat(2 * MAX_BYTES)).unwrap();
        let mode = fs::Permissions::from_mode(0o666);
        fs::set_permissions(&report, mode).unwrap();
        let command = ApiCommand::new()
            .args(["provision"])
            .env("DB_HOST", &server.host)
            .env("DB_PORT", server.port.to_string())
            .env("DB_USER", &server.user)
            .env("DB_PASSWORD", server.password.expose_secret())
            .env("DB_NAME", &server.database)
            .env("RECKON_PROVISION_TASK", task.to_json())
            .env("RECKON_TERMINATION_LOG", report.path());
        let this = Self { command, report };
        match task.step {
            Step::Ensure { .. } => this
                .env("RECKON_PROVISION_PASSWORD", PASSWORD)
                .env("RECKON_PROVISION_MIGRATION_PASSWORD", MIGRATION_PASSWORD),
            Step::SetFence { .. } => this,
            Step::AddPassword => this.env("RECKON_PROVISION_NEXT_PASSWORD", NEXT),
            Step::DiscardPassword => this.env("RECKON_PROVISION_PASSWORD", NEXT),
        }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command = self.command.env(name, value);
        self
    }

    pub fn spawn(self) -> Running {
        Running {
            began: Instant::now(),
            process: self.command.spawn(),
            report: self.report,
        }
    }

    /// Runs it to its end; panics unless exit code and report agree.
    pub async fn run(self) -> Ran {
        self.spawn().end().await
    }
}

impl Running {
    pub async fn end(mut self) -> Ran {
        let exit = self.process.process.exit(TIMEOUT).await;
        let took = self.began.elapsed();
        let lines = self.process.process.logs();
        let text = fs::read_to_string(&self.report).unwrap();
        println!("{text}\n{lines:#?}");
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        for password in [ADMIN_PASSWORD, PASSWORD, MIGRATION_PASSWORD, NEXT] {
            for text in lines.iter().chain([&text]) {
                assert!(!text.contains(password), "{text}");
            }
        }
        let report = Report::parse(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let code = match &report {
            Report::Done { .. } => 0,
            Report::Failed { .. } => 1,
        };
        assert_eq!(exit.status.code(), Some(code), "{report:?}");
        Ran {
            report,
            lines,
            took,
        }
    }
}

/// The changes of a report; panics unless it is done.
fn changes(ran: Ran) -> Vec<Change> {
    match ran.report {
        Report::Done { changes, .. } => changes,
        report @ Report::Failed { .. } => panic!("{report:?}"),
    }
}

/// Reason and message of a report; panics if it is done.
pub fn failure(ran: Ran) -> (Reason, String) {
    match ran.report {
        Report::Failed { reason, message } => (reason, message),
        report @ Report::Done { .. } => panic!("{report:?}"),
    }
}

async fn each_step_runs_and_is_reported(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    let step = async |step| Provision::step(&server, step).run().await;
    let opens = async |password| connect(&server, &wanted(), password).await.map(drop);

    let first = step(ENSURE).await;
    println!("{:?}", first.took);
    let Report::Done { facts, .. } = &first.report else {
        panic!("{:?}", first.report);
    };
    assert_eq!(facts.can_rotate(), flavour == Flavour::MySql9);
    assert!(first.lines.contains(&"database created".to_owned()));
    assert_eq!(
        changes(first),
        [
            Change::DatabaseMade,
            Change::UserMade,
            Change::ReadGranted,
            Change::MigrationUserMade,
            Change::MigrationGranted,
        ]
    );
    assert_eq!(changes(step(ENSURE).await), []);
    assert_eq!(opens(PASSWORD).await, Ok(()));
    assert!(connect_migrator(&server, MIGRATION_PASSWORD).await.is_ok());

    let fence = Step::SetFence {
        max_user_connections: fence(1),
    };
    for _ in 0..2 {
        assert_eq!(changes(step(fence.clone()).await), []);
    }
    let held = connect(&server, &wanted(), PASSWORD).await.unwrap();
    assert_eq!(opens(PASSWORD).await, Err(1226));
    drop(held);
    assert_eq!(changes(step(ENSURE).await), [Change::FenceSet]);

    for rotation in [Step::AddPassword, Step::DiscardPassword] {
        for _ in 0..2 {
            let ran = step(rotation.clone()).await;
            if flavour == Flavour::MariaDb {
                assert_eq!(failure(ran).0, Reason::RotationUnsupported);
                continue;
            }
            assert_eq!(changes(ran), []);
            assert_eq!(opens(NEXT).await, Ok(()));
            let is_both = rotation == Step::AddPassword;
            assert_eq!(opens(PASSWORD).await.is_ok(), is_both);
        }
    }
}

async fn concurrent_and_killed_runs_give_the_same_result(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    // Killed wherever it is by then.
    for milliseconds in [5, 10, 20, 30, 40, 60, 80, 120] {
        let running = Provision::step(&server, ENSURE).spawn();
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        if running.process.process.is_running() {
            running.process.process.signal(Signal::KILL);
        }
    }
    let all: Vec<Running> = (0..4)
        .map(|_| Provision::step(&server, ENSURE).spawn())
        .collect();
    for running in all {
        changes(running.end().await);
    }
    let last = Provision::step(&server, ENSURE).run().await;
    assert_eq!(changes(last), []);
    assert!(connect(&server, &wanted(), PASSWORD).await.is_ok());
    assert!(connect_migrator(&server, MIGRATION_PASSWORD).await.is_ok());
}

async fn errors_of_the_server_are_reported(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let wrong = Provision::step(&server, ENSURE).env("DB_PASSWORD", "wrong-password");
    let (reason, message) = failure(wrong.run().await);
    assert_eq!(reason, Reason::AccessDenied);
    assert!(message.contains("refuses the account provisioner"));

    let early = Step::SetFence {
        max_user_connections: fence(2),
    };
    let (reason, _) = failure(Provision::step(&server, early).run().await);
    assert_eq!(reason, Reason::UnknownDatabase);

    let theirs = format!("CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.orders (id INT)");
    db.execute(theirs).await;
    let (reason, message) = failure(Provision::step(&server, ENSURE).run().await);
    assert_eq!(reason, Reason::DatabaseNotEmpty);
    // The statement is complete, because a person runs it.
    let adopt = reckon_api::provision::adoption(DATABASE, &owner("shop"));
    assert!(message.ends_with(&adopt), "{message}");
}

on_each_flavour!(
    each_step_runs_and_is_reported,
    concurrent_and_killed_runs_give_the_same_result,
    errors_of_the_server_are_reported,
);

#[tokio::test]
async fn missing_and_invalid_arguments_are_reported_before_connecting() {
    let db = Flavour::MariaDb.start().await;
    let server = server(&db);
    let ensure = || Provision::step(&server, ENSURE);
    for (provision, words) in [
        (
            ensure().env("RECKON_PROVISION_TASK", "{}"),
            "failed to read the task (RECKON_PROVISION_TASK): invalid provisioning task",
        ),
        (
            ensure().env("RECKON_PROVISION_PASSWORD", ""),
            "failed to provision the database: RECKON_PROVISION_PASSWORD is not set",
        ),
        (
            Provision::step(&server, Step::AddPassword).env("RECKON_PROVISION_NEXT_PASSWORD", ""),
            "failed to give the database user a second password: RECKON_PROVISION_NEXT_PASSWORD is not set",
        ),
        (
            ensure().env("DB_HOST", ""),
            "failed to provision the database: DB_HOST is not set",
        ),
    ] {
        let (reason, message) = failure(provision.run().await);
        assert_eq!(reason, Reason::ProvisioningFailed);
        assert!(message.starts_with(words), "{message}");
    }
    let unreadable = ensure()
        .env("DB_TLS", "verify-full")
        .env("DB_TLS_CA", "/nowhere/ca.crt");
    let (reason, message) = failure(unreadable.run().await);
    assert_eq!(reason, Reason::CertificateRefused);
    assert!(message.contains("/nowhere/ca.crt"), "{message}");
}

#[tokio::test]
async fn a_report_that_cannot_be_written_is_an_error() {
    let (_db, server) = fixture(Flavour::MariaDb).await;
    let nowhere =
        Provision::step(&server, ENSURE).env("RECKON_TERMINATION_LOG", "/nowhere/termination-log");
    let mut running = nowhere.spawn();
    let exit = running.process.process.exit(TIMEOUT).await;
    assert_eq!(exit.status.code(), Some(1));
    let lines = running.process.process.logs();
    let words =
        "error: failed to write the report to /nowhere/termination-log (RECKON_TERMINATION_LOG)";
    assert!(
        lines.iter().any(|line| line.starts_with(words)),
        "{lines:#?}"
    );
}
