//! The program: reads its arguments and does what they say.

use clap::Parser as _;
use reckon_operator::args::{Cli, Command, Run};
use reckon_operator::{app, crd, telemetry};
use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let done = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Crd => print_crd(),
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
    print!("{}", crd::yaml()?);
    Ok(())
}
