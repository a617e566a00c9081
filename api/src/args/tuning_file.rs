//! The tuning file, and the variable that replaces its `tables`.

use clap::Args;
use reckon_contract::tables::Tables;
use reckon_contract::{Tuning, env};
use std::path::PathBuf;

/// The tuning file, and what replaces a part of it.
#[derive(Clone, Debug, Args)]
pub struct TuningFile {
    /// YAML file with sizes, limits and deadlines, the ranking, and the names of tables. `migrate`, `demo` and `import` use only its
    /// `tables`, `train` and `evaluate` also its `recommendation`. Unset: the defaults apply.
    #[arg(long = "tuning", env = env::TUNING, value_name = "FILE")]
    pub path: Option<PathBuf>,
    /// Names of tables and columns, and the type of user ids: YAML or JSON like `tables` of the tuning file, which it replaces.
    #[arg(long, env = env::TABLES, value_parser = tables, value_name = "YAML")]
    pub tables: Option<Tables>,
}

fn tables(text: &str) -> Result<Tables, String> {
    Tuning::parse_tables(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::tables;
    use reckon_contract::tables::UserIdType;

    #[test]
    fn tables_are_yaml_or_json() {
        for text in [
            r#"{"userId":"Text","purchases":{"table":"order items","user":"who"}}"#,
            "userId: Text\npurchases:\n  table: order items\n  user: who\n",
        ] {
            let tables = tables(text).unwrap();
            assert_eq!(tables.user_id, UserIdType::Text);
            let purchases = tables.purchases().unwrap();
            assert_eq!((&*purchases.name, &*purchases.user), ("order items", "who"));
        }
        assert_eq!(
            tables("{userId: UUID}").unwrap_err(),
            "tables.userId is \"UUID\": expected one of Integer, Text"
        );
    }
}
