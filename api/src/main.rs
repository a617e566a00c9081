//! The program: parses its arguments and runs the subcommand.

use anyhow::Context as _;
use reckon_api::args::{Cli, Command, Evaluate, Import, MappedDatabase, Serve, Train, TuningFile};
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

/// Maximum I/O events that an idle worker thread takes from the kernel at once. The tasks that they wake must fit into its queue of
/// 256 tasks: those beyond it go to the queue of all threads, where they wait behind later requests.
const IO_EVENTS: usize = 128;
/// The same for a worker thread that still has tasks to run.
const IO_EVENTS_WHILE_BUSY: usize = 32;

fn main() -> ExitCode {
    let cli = Cli::read();
    // The Redis client has no cryptography built in. An error means that a provider is already installed.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let done = match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => serve(&args),
        Command::Migrate(args) => run(None, migrate(&args)),
        Command::Demo(args) => run(None, demo(&args)),
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
    let tuning = settings(&args.tuning)?;
    run(None, trainer::train(args.resolve(tuning)))
}

fn evaluate(args: Evaluate) -> anyhow::Result<()> {
    args.database.check()?;
    let tuning = settings(&args.tuning)?;
    run(None, evaluate::evaluate(args.resolve(tuning)?))
}

async fn demo(args: &MappedDatabase) -> anyhow::Result<()> {
    args.database.check()?;
    demo::load::check(&settings(&args.tuning)?.tables)?;
    demo::load::fill(&args.database.location()).await
}

async fn import(args: &Import) -> anyhow::Result<()> {
    args.database.check()?;
    let tuning = settings(&args.tuning)?;
    import::import(args.resolve(tuning)?).await
}

async fn migrate(args: &MappedDatabase) -> anyhow::Result<()> {
    args.database.check()?;
    let tables = settings(&args.tuning)?.tables;
    match args.database.location() {
        Location::MySql(address) => {
            store::mysql::migrate::migrate(&address, &tables, |line| println!("{line}")).await?;
        }
        Location::Sqlite(path) => {
            let (_session, views) = store::sqlite::create_mapped(&path, &tables)
                .await
                .with_context(|| format!("failed to open {}", path.display()))?;
            for view in views {
                println!("{view}");
            }
            println!("{}: tables and indexes exist", path.display());
        }
    }
    Ok(())
}

fn openapi() -> anyhow::Result<()> {
    let text = http::openapi()
        .to_pretty_json()
        .context("failed to create the description")?;
    match writeln!(io::stdout(), "{text}") {
        // Standard output was closed, for example by `reckon-api openapi | head`.
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
        .max_io_events_per_tick(IO_EVENTS)
        .max_io_events_per_busy_tick(IO_EVENTS_WHILE_BUSY)
        .enable_all()
        .build()
        .context("failed to start threads")?;
    let done = runtime.block_on(work);
    // The end does not wait for threads: one may be resolving the database's host name, which can take minutes.
    runtime.shutdown_background();
    done
}

/// The tuning file, or the defaults with the environment variables of the original service.
fn tuning(args: &Serve) -> anyhow::Result<Tuning> {
    let mut tuning = settings(&args.tuning)?;
    let Some(path) = &args.tuning.path else {
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
    Ok(tuning)
}

/// The tuning file, or the defaults. If the variable for tables is set, it replaces `tables`.
fn settings(file: &TuningFile) -> anyhow::Result<Tuning> {
    let tuning = file.path.as_deref().map(parse).transpose()?;
    let mut tuning = tuning.unwrap_or_default();
    if let Some(tables) = &file.tables {
        tuning.tables = tables.clone();
    }
    Ok(tuning)
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
