//! Finds the rules that only the database can evaluate, and that may reject a row with valid values: unique keys,
//! foreign keys, CHECK constraints, partitions and triggers.

use super::columns::{Column, ColumnInfo};
use reckon_contract::tables::Table;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, Row as _, SqliteConnection};

/// A part of an index, as a server lists it.
struct Part {
    index: String,
    /// `None`: an expression.
    column: Option<String>,
    is_unique: bool,
}

/// The constraints of a table on a server, for messages. Triggers are listed only for an account with the privilege TRIGGER.
pub async fn of_server(
    session: &mut MySqlConnection,
    table: &Table,
    columns: &[ColumnInfo],
) -> Result<Vec<String>, sqlx::Error> {
    let parts: Vec<(String, Option<String>, i64)> = sqlx::query_as(
        "SELECT CAST(INDEX_NAME AS CHAR), CAST(COLUMN_NAME AS CHAR), CAST(NON_UNIQUE = 0 AS SIGNED) \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? \
         ORDER BY INDEX_NAME, SEQ_IN_INDEX",
    )
    .bind(&table.name)
    .fetch_all(&mut *session)
    .await?;
    let parts: Vec<Part> = parts
        .into_iter()
        .map(|(index, column, unique)| Part {
            index,
            column,
            is_unique: unique == 1,
        })
        .collect();
    let mut found = indexes(table, columns, &parts);
    let show = format!("SHOW CREATE TABLE `{}`", table.name);
    let row = session
        .fetch_one(sqlx::raw_sql(AssertSqlSafe(show)))
        .await?;
    found.extend(declared(&row.try_get::<String, _>(1)?));
    let triggers: Vec<String> = sqlx::query_scalar(
        "SELECT CAST(TRIGGER_NAME AS CHAR) FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = ? AND EVENT_MANIPULATION = 'INSERT'",
    )
    .bind(&table.name)
    .fetch_all(session)
    .await?;
    found.extend(triggers.iter().map(|name| format!("the trigger {name}")));
    Ok(found)
}

/// The indexes that may reject a row: indexes on expressions, and unique indexes that contain no auto-increment column.
fn indexes(table: &Table, columns: &[ColumnInfo], parts: &[Part]) -> Vec<String> {
    let is_numbered = |part: &Part| {
        let name = part.column.as_deref().unwrap_or_default();
        let is_ours = Column::of(table, name).is_some();
        let mut columns = columns.iter();
        !is_ours
            && columns.any(|column| column.auto_increment && column.name.eq_ignore_ascii_case(name))
    };
    parts
        .chunk_by(|one, next| one.index == next.index)
        .filter_map(|parts| {
            let name = &parts[0].index;
            if parts.iter().any(|part| part.column.is_none()) {
                return Some(format!("the index {name} of an expression"));
            }
            let is_unique = parts[0].is_unique && !parts.iter().any(is_numbered);
            is_unique.then(|| format!("the unique key {name}"))
        })
        .collect()
}

/// The constraints in a table's definition, which `SHOW CREATE TABLE` prints with one constraint a line.
fn declared(definition: &str) -> Vec<String> {
    let kinds = [
        (" FOREIGN KEY (", "the foreign key"),
        (" CHECK (", "the CHECK constraint"),
        ("PARTITION BY ", "the partitions"),
    ];
    let lines = definition.lines().filter_map(|line| {
        let (_, kind) = kinds.iter().find(|(words, _)| line.contains(words))?;
        // The name of the constraint, or of the column if it has an unnamed constraint.
        let name = line.split('`').nth(1);
        Some(match name {
            Some(name) if *kind != "the partitions" => format!("{kind} {name}"),
            _ => (*kind).to_owned(),
        })
    });
    lines.collect()
}

/// The constraints of a table in a file.
pub async fn of_file(
    session: &mut SqliteConnection,
    table: &Table,
) -> Result<Vec<String>, sqlx::Error> {
    let text = |name: &str| name.replace('\'', "''");
    let name = text(&table.name);
    let ours = Column::ALL.into_iter().filter_map(|it| it.name(table));
    let ours: Vec<String> = ours
        .map(|name| format!("LOWER('{}')", text(name)))
        .collect();
    // An index column without a number (cid) is an expression.
    let select = format!(
        "SELECT 'the unique key ' || name FROM pragma_index_list('{name}') WHERE \"unique\" \
         UNION ALL SELECT DISTINCT 'the index ' || list.name || ' of an expression' \
             FROM pragma_index_list('{name}') AS list, pragma_index_xinfo(list.name) AS part WHERE part.cid = -2 \
         UNION ALL SELECT 'the primary key ' || name FROM pragma_table_xinfo('{name}') \
             WHERE pk AND UPPER(type) = 'INTEGER' AND LOWER(name) IN ({}) \
         UNION ALL SELECT DISTINCT 'the foreign key of ' || \"from\" FROM pragma_foreign_key_list('{name}') \
         UNION ALL SELECT 'the types of a STRICT table' FROM pragma_table_list('{name}') WHERE \"strict\" \
         UNION ALL SELECT 'the CHECK constraints' FROM sqlite_schema \
             WHERE type = 'table' AND name = '{name}' COLLATE NOCASE AND sql LIKE '%CHECK%(%' \
         UNION ALL SELECT 'the trigger ' || name FROM sqlite_schema \
             WHERE type = 'trigger' AND tbl_name = '{name}' COLLATE NOCASE",
        ours.join(", ")
    );
    sqlx::query_scalar(AssertSqlSafe(select))
        .fetch_all(session)
        .await
}

#[cfg(test)]
mod tests {
    use super::{Part, declared, indexes};
    use crate::import::columns::ColumnInfo;
    use reckon_contract::tables::Table;

    fn part(index: &str, column: Option<&str>, unique: bool) -> Part {
        Part {
            index: index.to_owned(),
            column: column.map(str::to_owned),
            is_unique: unique,
        }
    }

    #[test]
    fn an_index_that_may_reject_a_row_is_found() {
        let column = |name: &str, auto_increment| ColumnInfo {
            name: name.to_owned(),
            auto_increment,
            ..ColumnInfo::default()
        };
        let parts = [
            part("PRIMARY", Some("number"), true),
            part("plain", Some("id"), false),
            part("shouted", Some("id"), false),
            part("shouted", None, false),
            part("together", Some("id"), true),
            part("together", Some("NUMBER"), true),
            part("user", Some("id"), true),
        ];
        let columns = [column("id", false), column("number", true)];
        assert_eq!(
            indexes(&Table::searches(), &columns, &parts),
            ["the index shouted of an expression", "the unique key user"]
        );
        // A file provides the user ids: the database does not generate them for these rows.
        let users = [part("PRIMARY", Some("id"), true)];
        assert_eq!(
            indexes(&Table::searches(), &[column("id", true)], &users),
            ["the unique key PRIMARY"]
        );
    }

    #[test]
    fn constraints_are_found_in_a_definition() {
        let definition = "CREATE TABLE `searches` (\n  `id` bigint NOT NULL CHECK (`id` > 0),\n  `shop` int,\n  \
            KEY `shop` (`shop`),\n  CONSTRAINT `known` FOREIGN KEY (`shop`) REFERENCES `shops` (`id`),\n  \
            CONSTRAINT `new` CHECK ((`id` < 9))\n) ENGINE=InnoDB\n PARTITION BY RANGE (`id`)\n\
            (PARTITION `first` VALUES LESS THAN (10) ENGINE = InnoDB)";
        assert_eq!(
            declared(definition),
            [
                "the CHECK constraint id",
                "the foreign key known",
                "the CHECK constraint new",
                "the partitions"
            ]
        );
    }
}
