//! The program: parses its arguments and runs the command that they name.

use clap::Parser as _;
use reckon_operator::args::{Cli, Command, Run, Where};
use reckon_operator::{app, check, crd, telemetry};
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Crd => print_crd(),
        Command::Check(at) => print_check(&at),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Run) -> anyhow::Result<()> {
    telemetry::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let done = runtime.block_on(app::run(args));
    runtime.shutdown_background();
    done
}

fn print_crd() -> anyhow::Result<()> {
    match write!(io::stdout(), "{}", crd::yaml()?) {
        // Standard output was closed, for example by `reckon-operator crd | head`.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => Ok(done?),
    }
}

fn print_check(at: &Where) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let seen = runtime.block_on(async {
        let client = kube::Client::try_default().await?;
        let named = at.named();
        let seen = check::check(client, &named, &at.lease_namespace, &at.lease_name);
        anyhow::Ok(seen.await?)
    })?;
    for line in seen {
        println!("{line}");
    }
    Ok(())
}
