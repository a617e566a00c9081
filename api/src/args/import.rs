//! Options of `import`.

use crate::args::database::Database;
use crate::args::shared_cache::SharedCache;
use crate::args::tuning_file::TuningFile;
use crate::import;
use crate::import::header::Mapping;
use clap::Args;
use reckon_contract::Tuning;
use std::path::PathBuf;

/// Options of `import`.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// CSV file (RFC 4180, UTF-8) for the table of searches. Its columns have the names of the table's columns, by default id,
    /// search, `searched_at`, category, SUCCESS, in any order.
    #[arg(long, value_name = "FILE", required_unless_present = "purchases")]
    pub searches: Option<PathBuf>,
    /// CSV file for the table of purchases, by default with the columns id, `product_name`, `purchased_at`, `product_category`,
    /// SUCCESS.
    #[arg(long, value_name = "FILE")]
    pub purchases: Option<PathBuf>,
    /// Header of a column in the file, if it is not the column's name. Can be repeated.
    #[arg(long = "map", value_name = "[TABLE.]COLUMN=HEADER")]
    pub mappings: Vec<Mapping>,
    /// Add to tables that already have rows.
    #[arg(long)]
    pub append: bool,
    /// The tuning file.
    #[command(flatten)]
    pub tuning: TuningFile,
    /// The database into which the rows are written.
    #[command(flatten)]
    pub database: Database,
    /// The shared cache that is invalidated after the import.
    #[command(flatten)]
    pub shared_cache: SharedCache,
}

impl Import {
    /// The import, with parsed addresses and the tables of the tuning file.
    ///
    /// # Errors
    /// Invalid address of the shared cache.
    pub fn resolve(&self, tuning: Tuning) -> anyhow::Result<import::Import> {
        Ok(import::Import {
            searches: self.searches.clone(),
            purchases: self.purchases.clone(),
            mappings: self.mappings.clone(),
            append: self.append,
            tuning,
            location: self.database.location(),
            shared_cache: self.shared_cache.address()?,
            identity: self.shared_cache.identity.clone(),
        })
    }
}
