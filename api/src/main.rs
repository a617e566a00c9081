//! The program: parses its arguments and runs the subcommand.

use anyhow::Context as _;
use reckon_api::args::{Cli, Command, Database, Evaluate, Import, Serve, Train};
use reckon_api::error_line::error_line;
use reckon_api::store::location::Location;
use reckon_api::{
    app, demo, evaluate, http, import, monitor, provision, store, supervise, telemetry, trainer,
};
use reckon_contract::{Tuning, env};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::process::ExitCode;
use tracing::warn;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    // The Redis client has no cryptography built in. An error means that a provider is already installed.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(&args),
        Command::Migrate(database) => run(None, migrate(&database)),
        Command::Demo(database) => run(None, demo(&database)),
        Command::Import(args) => run(None, import(&args)),
        Command::Train(args) => train(*args),
        Command::Evaluate(args) => evaluate(*args),
        Command::Monitor(args) => {
            let options = args.resolve();
            options.and_then(|options| run(None, monitor::monitor(options)))
        }
        Command::Provision(args) => run(None, provision::task::provision(&args.resolve())),
        Command::Openapi => openapi(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_line(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &Serve) -> anyhow::Result<()> {
    args.database.check()?;
    telemetry::start()?;
    supervise::log_panics();
    let tuning = tuning(args)?;
    run(tuning.server.threads, app::serve(args, tuning))
}

fn train(args: Train) -> anyhow::Result<()> {
    args.database.check()?;
    telemetry::start()?;
    supervise::log_panics();
    let tuning = args.tuning.as_deref().map(parse).transpose()?;
    let settings = tuning.unwrap_or_default().recommendation;
    run(None, trainer::train(args.resolve(settings)))
}

fn evaluate(args: Evaluate) -> anyhow::Result<()> {
    args.database.check()?;
    let tuning = args.tuning.as_deref().map(parse).transpose()?;
    let settings = tuning.unwrap_or_default().recommendation;
    run(None, evaluate::evaluate(args.resolve(settings)))
}

async fn demo(database: &Database) -> anyhow::Result<()> {
    database.check()?;
    demo::load::fill(&database.location()).await
}

async fn import(args: &Import) -> anyhow::Result<()> {
    args.database.check()?;
    import::import(args.resolve()?).await
}

async fn migrate(database: &Database) -> anyhow::Result<()> {
    database.check()?;
    match database.location() {
        Location::MySql(address) => {
            store::mysql::migrate::migrate(&address, |line| println!("{line}")).await?;
        }
        Location::Sqlite(path) => {
            store::sqlite::create(&path)
                .await
                .with_context(|| format!("failed to open {}", path.display()))?;
            println!("{}: tables and indexes are there", path.display());
        }
    }
    Ok(())
}

fn openapi() -> anyhow::Result<()> {
    let text = http::openapi()
        .to_pretty_json()
        .context("failed to create the description")?;
    match writeln!(io::stdout(), "{text}") {
        // The reader has read enough: `reckon-api openapi | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done.context("failed to write the description"),
    }
}

fn run(threads: Option<u32>, work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads as usize);
    }
    let runtime = runtime
        .enable_all()
        .build()
        .context("failed to start threads")?;
    let done = runtime.block_on(work);
    // Does not wait for threads: one may be resolving the database's host name, which can take minutes.
    runtime.shutdown_background();
    done
}

/// The tuning file, or the defaults with the environment variables of the original service.
fn tuning(args: &Serve) -> anyhow::Result<Tuning> {
    let Some(path) = &args.tuning else {
        let mut tuning = Tuning::default();
        tuning.server.threads = args.workers;
        if let Some(most) = args.max_connections {
            tuning.server.max_requests_in_flight = most;
        }
        return Ok(tuning);
    };
    for (name, is_set) in [
        (env::WORKERS, args.workers.is_some()),
        (env::MAX_CONNECTIONS, args.max_connections.is_some()),
    ] {
        if is_set {
            warn!(variable = name, tuning = %path.display(), "ignored, since there is a tuning file");
        }
    }
    parse(path)
}

/// Reads a tuning file; logs unknown fields.
fn parse(path: &Path) -> anyhow::Result<Tuning> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "failed to read the tuning file {} ({})",
            path.display(),
            env::TUNING
        )
    })?;
    let parsed =
        Tuning::parse(&text).with_context(|| format!("invalid tuning file {}", path.display()))?;
    for problem in &parsed.unknown {
        warn!(tuning = %path.display(), "{problem}");
    }
    Ok(parsed.tuning)
}

#[cfg(test)]
mod tests {
    use super::run;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn the_process_ends_without_waiting_for_busy_threads() {
        let (release, released) = mpsc::channel::<()>();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            let done = run(None, async {
                let (start, began) = tokio::sync::oneshot::channel();
                tokio::task::spawn_blocking(move || (start.send(()), released.recv()));
                Ok(began.await?)
            });
            ended.send(done).ok();
        });
        end.recv_timeout(Duration::from_secs(10)).unwrap().unwrap();
        drop(release);
    }
}
