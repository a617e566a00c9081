//! The command line and environment: *where* things are. *How* the process runs is its tuning.
//!
//! One module for each subcommand that has options, and one for each group of options that several share.

mod database;
mod evaluate;
mod import;
mod mapped_database;
mod messages;
mod monitor;
mod provision;
mod serve;
mod shared_cache;
mod train;
mod tuning_file;
mod values;

pub use database::Database;
pub use evaluate::Evaluate;
pub use import::Import;
pub use mapped_database::MappedDatabase;
pub use monitor::Monitor;
pub use provision::Provision;
pub use serve::{Auth, Serve};
pub use shared_cache::SharedCache;
pub use train::Train;
pub use tuning_file::TuningFile;

use clap::builder::Resettable;
use clap::{Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use messages::{end, with_variable};

/// Serve each user's recommended categories over HTTP.
#[derive(Debug, Parser)]
#[command(name = "reckon-api", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// The subcommand. `None`: `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `serve`, the default command.
    #[command(flatten)]
    pub serve: Box<Serve>,
}

impl Cli {
    /// Parses the command line and the environment; ends the process with a message if they are invalid.
    #[must_use]
    pub fn read() -> Self {
        Self::command()
            .mut_args(without_empty_variable)
            .mut_subcommands(|command| command.mut_args(without_empty_variable))
            .try_get_matches()
            .and_then(|matches| Self::from_arg_matches(&matches))
            .unwrap_or_else(|error| end(&with_variable(Self::command(), error)))
    }
}

/// An empty variable counts as not set, because compose files pass on unset variables as empty ones.
fn without_empty_variable(argument: Arg) -> Arg {
    let value = argument.get_env().and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) {
        argument.env(Resettable::Reset)
    } else {
        argument
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API (the default).
    Serve(Box<Serve>),
    /// Create missing tables and indexes. Other clients can read and write meanwhile. Idempotent.
    Migrate(MappedDatabase),
    /// Fill empty tables, which must have the default names, with demo data: users 1 to 4703.
    Demo(MappedDatabase),
    /// Load searches and purchases from CSV files. If a value is invalid, nothing is written; if interrupted, rerun the same
    /// command to resume.
    Import(Box<Import>),
    /// Train a model on the rows of all users, and publish it for the running processes. Meant to run once a day.
    ///
    /// Reads both tables once, on one connection. A model that is worse than the published one, on the newest 14 days, is not
    /// published; the exit status is 0 then too.
    Train(Box<Train>),
    /// Measure how well the algorithms would have predicted purchases of the past, on your data; prints a table.
    Evaluate(Box<Evaluate>),
    /// Show health, traffic, cache hits, latency and connections of one or many API processes, live or as a report.
    ///
    /// Reads `/metrics` of each process, which is on its operations port (9464 by default) and needs no API key. By default that port
    /// is open only to programs on the same machine: see --ops-listen of `serve`. Name each process, not a load balancer:
    /// the counters of different processes would look like restarts.
    ///
    /// On a terminal: q quits, p pauses, s sorts. If standard output is not a terminal, a report is printed after each interval.
    /// `NO_COLOR` turns colours off.
    Monitor(Monitor),
    /// Create or repair a database and its accounts as the administrator of the server, and write a report to a file. Used by
    /// the operator.
    Provision(Box<Provision>),
    /// Print the description of the HTTP API (`OpenAPI`, JSON).
    Openapi,
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn verify_ca_requires_a_file_of_authorities() {
        for (tls, authorities) in [
            ("--db-tls", "--db-tls-ca"),
            ("--redis-tls", "--redis-tls-ca"),
        ] {
            let without = Cli::try_parse_from(["reckon-api", tls, "verify-ca"]);
            let message = without.unwrap_err().to_string();
            assert!(message.contains(authorities), "{message}");
            let with = ["reckon-api", tls, "verify-ca", authorities, "ca.pem"];
            assert!(Cli::try_parse_from(with).is_ok());
        }
    }

    #[test]
    fn debug_output_contains_no_password() {
        let cli =
            Cli::try_parse_from(["reckon-api", "--db-host", "db", "--db-password", "hunter2"])
                .unwrap();
        assert!(!format!("{cli:?}").contains("hunter2"));
        assert!(!format!("{:?}", cli.serve.database.location()).contains("hunter2"));
    }
}
