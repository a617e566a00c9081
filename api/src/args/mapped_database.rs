//! Options of the commands that change tables: `migrate` and `demo`.

use crate::args::database::Database;
use crate::args::tuning_file::TuningFile;
use clap::Args;

/// The database, and the names of its tables.
#[derive(Clone, Debug, Args)]
pub struct MappedDatabase {
    /// The tuning file.
    #[command(flatten)]
    pub tuning: TuningFile,
    /// The database.
    #[command(flatten)]
    pub database: Database,
}
