//! Options of `evaluate`.

use crate::args::database::Database;
use crate::args::tuning_file::TuningFile;
use crate::args::values::{interval, up_to};
use crate::evaluate::{self, Evaluation};
use crate::model::{Day, UserId};
use anyhow::Context as _;
use clap::Args;
use reckon_contract::Tuning;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `evaluate`.
#[derive(Clone, Debug, Args)]
pub struct Evaluate {
    /// The tuning file.
    #[command(flatten)]
    pub tuning: TuningFile,
    /// First days of the 14 days to predict, like 2026-01-31, comma-separated. Unset: up to ten days in the newer half of the
    /// data, 14 days apart.
    #[arg(long, value_name = "DATE", value_parser = evaluate::day, value_delimiter = ',')]
    cut_offs: Vec<Day>,
    /// Do not read the table `searches`.
    #[arg(long)]
    ignore_searches: bool,
    /// CSV file with expected figures (columns list, policy, rows, ndcg). Exit status 1 if one differs by more than 0.002.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
    /// Users, comma-separated: print their newest rows and their answers at the last cut-off, instead of the table.
    #[arg(
        long,
        value_name = "USER",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "check"
    )]
    show: Vec<String>,
    /// Maximum number of rows in memory, 24 bytes each. If there are more, a sample of the users is used.
    #[arg(long, value_parser = up_to(1_000_000_000), default_value_t = 12_000_000, value_name = "ROWS")]
    max_rows: u32,
    /// Time after which the database ends a statement, 500ms to 1h. Reading a table is one statement.
    #[arg(long, value_parser = interval, default_value = "10m", value_name = "TIME")]
    statement_timeout: Duration,
    /// The database.
    #[command(flatten)]
    pub database: Database,
}

impl Evaluate {
    /// The evaluation, with the settings of the tuning file.
    ///
    /// # Errors
    /// A user to show is not an id of the tables' type.
    pub fn resolve(self, tuning: Tuning) -> anyhow::Result<Evaluation> {
        let users = self.show.iter().map(|text| {
            UserId::parse(text, tuning.tables.user_id)
                .with_context(|| format!("invalid user {text:?} of --show"))
        });
        Ok(Evaluation {
            location: self.database.location(),
            show: users.collect::<Result<_, _>>()?,
            tables: tuning.tables,
            settings: tuning.recommendation,
            cut_offs: self.cut_offs,
            with_searches: !self.ignore_searches,
            check: self.check,
            max_rows: self.max_rows as usize,
            statement_timeout: self.statement_timeout,
        })
    }
}
