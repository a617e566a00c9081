//! Options of `train`.

use crate::args::database::Database;
use crate::args::tuning_file::TuningFile;
use crate::args::values::{interval, up_to};
use crate::trainer::{Target, Training};
use clap::Args;
use reckon_contract::Tuning;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `train`.
#[derive(Clone, Debug, Args)]
pub struct Train {
    /// The tuning file.
    #[command(flatten)]
    pub tuning: TuningFile,
    /// Write the model to this file, instead of to the table `reckon_model`. The file is replaced as a whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Number of days to read, up to the newest purchase.
    #[arg(long, value_parser = up_to(3650), default_value_t = 180)]
    days: u32,
    /// Maximum number of rows in memory, 24 bytes each. If there are more, a sample of the users is used.
    #[arg(long, value_parser = up_to(1_000_000_000), default_value_t = 12_000_000, value_name = "ROWS")]
    max_rows: u32,
    /// Publish the model without comparing it with the one in force.
    #[arg(long, visible_alias = "force")]
    no_gate: bool,
    /// Time after which the database ends a statement, 500ms to 1h. Reading a table is one statement.
    #[arg(long, value_parser = interval, default_value = "10m", value_name = "TIME")]
    statement_timeout: Duration,
    /// The database.
    #[command(flatten)]
    pub database: Database,
}

impl Train {
    /// The training, with the settings of the tuning file.
    #[must_use]
    pub fn resolve(self, tuning: Tuning) -> Training {
        Training {
            location: self.database.location(),
            tables: tuning.tables,
            settings: tuning.recommendation,
            target: self.output.map_or(Target::Table, Target::File),
            days: self.days,
            max_rows: self.max_rows as usize,
            compares: !self.no_gate,
            statement_timeout: self.statement_timeout,
        }
    }
}
