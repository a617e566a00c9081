//! The statements that follow the new rows of a table. They run as text, so that the server's log distinguishes them from the
//! statements of requests.

use super::indexes::{Part, covers, part};
use super::relay::{Relay, SHORT};
use crate::model::UserId;
use crate::store::new_rows::{
    Answer, Followed, Numbered, Order, Question, Span, Timed, key, user_id,
};
use futures_util::TryStreamExt as _;
use reckon_contract::tables::{Table, Tables, UserIdType};
use sqlx::mysql::MySqlRow;
use sqlx::{AssertSqlSafe, Executor as _, MySqlConnection, Row as _, raw_sql};
use std::fmt::Write as _;

/// Maximum bytes of a row on average: an id of 65 characters, numbers and a time.
const ROW_BYTES: usize = 384;

/// Statements for one mapping.
pub struct NewRows {
    /// The tables in the order of [`Followed::ALL`].
    tables: [Option<Table>; 2],
    ids: UserIdType,
}

impl NewRows {
    pub fn new(tables: &Tables) -> Self {
        Self {
            tables: [tables.searches(), tables.purchases()],
            ids: tables.user_id,
        }
    }

    /// The answer to `question` about the table `of`.
    pub async fn answer(
        &self,
        (session, relay): (&mut MySqlConnection, &mut Relay),
        of: Followed,
        question: &Question,
    ) -> Result<Answer, sqlx::Error> {
        let Some(table) = &self.tables[of as usize] else {
            return Ok(Answer::Order(Order::None(
                "there is no such table".to_owned(),
            )));
        };
        let statement = |sql: String| raw_sql(AssertSqlSafe(sql));
        match question {
            Question::Order => {
                let sql = format!("SHOW COLUMNS FROM `{}`", table.name);
                let rows = session.fetch_all(statement(sql));
                let rows = relay.during(SHORT, rows).await?;
                let columns: Vec<Column> = rows.iter().map(column).collect::<Result<_, _>>()?;
                let sql = format!("SHOW INDEX FROM `{}`", table.name);
                let rows = session.fetch_all(statement(sql));
                let rows = relay.during(SHORT, rows).await?;
                let parts: Vec<Part> = rows.iter().map(part).collect::<Result<_, _>>()?;
                Ok(Answer::Order(order(of, table, &columns, &parts)))
            }
            Question::Newest { column } => {
                let sql = format!("SELECT CAST(MAX(`{column}`) AS CHAR) FROM `{}`", table.name);
                let row = relay
                    .during(SHORT, session.fetch_one(statement(sql)))
                    .await?;
                Ok(Answer::Newest(
                    row.try_get_unchecked::<Option<&str>, _>(0)?
                        .and_then(number),
                ))
            }
            Question::Numbers {
                column,
                spans,
                limit,
            } => {
                let sql = self.numbers(table, column, spans, *limit);
                let mut rows = session.fetch(statement(sql));
                let read = async {
                    let mut numbered = Vec::new();
                    while let Some(row) = rows.try_next().await? {
                        numbered.extend(self.numbered(&row)?);
                    }
                    Ok(numbered)
                };
                let limit = SHORT + *limit as usize * ROW_BYTES;
                Ok(Answer::Numbers(relay.during(limit, read).await?))
            }
            Question::Times {
                since,
                before,
                limit,
            } => {
                let sql = self.times(table, *since, *before, *limit);
                let mut rows = session.fetch(statement(sql));
                let read = async {
                    let mut timed = Vec::new();
                    while let Some(row) = rows.try_next().await? {
                        timed.push(self.timed(&row)?);
                    }
                    Ok(timed)
                };
                let limit = SHORT + *limit as usize * ROW_BYTES;
                Ok(Answer::Times(relay.during(limit, read).await?))
            }
        }
    }

    /// The column with the user's id as text. A text that is too long for an id is cut to one character more than the
    /// maximum.
    fn user(&self, table: &Table) -> String {
        let user = &table.user;
        match self.ids {
            UserIdType::Integer => format!("CAST(`{user}` + 0 AS CHAR)"),
            UserIdType::Text => {
                format!("CAST(LEFT(CONVERT(`{user}` USING utf8mb4), 65) AS BINARY)")
            }
        }
    }

    fn numbers(&self, table: &Table, column: &str, spans: &[Span], limit: u32) -> String {
        let (name, user) = (&table.name, self.user(table));
        let rest = rest(table);
        let mut sql =
            format!("SELECT CAST(`{column}` AS CHAR), {user}, {rest} FROM `{name}` WHERE ");
        for (index, (first, last)) in spans.iter().enumerate() {
            let or = if index == 0 { "" } else { " OR " };
            match last {
                &u64::MAX => write!(sql, "{or}`{column}` >= {first}"),
                last if last == first => write!(sql, "{or}`{column}` = {first}"),
                last => write!(sql, "{or}(`{column}` >= {first} AND `{column}` <= {last})"),
            }
            .expect("a String takes any text");
        }
        write!(sql, " ORDER BY `{column}` LIMIT {limit}").expect("a String takes any text");
        sql
    }

    fn times(&self, table: &Table, since: Option<i64>, before: Option<i64>, limit: u32) -> String {
        let Table { name, time, .. } = table;
        let (user, rest) = (self.user(table), rest(table));
        let bound = |comparison: &str, seconds: Option<i64>| {
            seconds.map(|seconds| {
                format!("`{time}` {comparison} TIMESTAMP'1970-01-01 00:00:00' + INTERVAL {seconds} SECOND")
            })
        };
        let bounds: Vec<String> = [bound(">=", since), bound("<", before)]
            .into_iter()
            .flatten()
            .collect();
        let condition = if bounds.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", bounds.join(" AND "))
        };
        format!(
            "SELECT CAST(TIMESTAMPDIFF(SECOND, '1970-01-01', `{time}`) AS CHAR), {user}, {rest} \
             FROM `{name}`{condition} ORDER BY `{time}` DESC LIMIT {limit}"
        )
    }

    /// `None`: its number is NULL or negative.
    fn numbered(&self, row: &MySqlRow) -> Result<Option<Numbered>, sqlx::Error> {
        let number = row
            .try_get_unchecked::<Option<&str>, _>(0)?
            .and_then(number);
        let user = self.user_of(row)?;
        let key = key_of(row, user.as_ref())?;
        Ok(number.map(|number| Numbered { number, key, user }))
    }

    fn timed(&self, row: &MySqlRow) -> Result<Timed, sqlx::Error> {
        let seconds: Option<&str> = row.try_get_unchecked(0)?;
        let user = self.user_of(row)?;
        Ok(Timed {
            seconds: seconds.and_then(|seconds| seconds.parse().ok()),
            key: key_of(row, user.as_ref())?,
            user,
        })
    }

    fn user_of(&self, row: &MySqlRow) -> Result<Option<UserId>, sqlx::Error> {
        let text: Option<&[u8]> = row.try_get_unchecked(1)?;
        let text = text.and_then(|text| std::str::from_utf8(text).ok());
        Ok(text.and_then(|text| user_id(text, self.ids)))
    }
}

fn key_of(row: &MySqlRow, user: Option<&UserId>) -> Result<u64, sqlx::Error> {
    let rest: Option<&[u8]> = row.try_get_unchecked(2)?;
    Ok(key(user, rest.unwrap_or_default()))
}

/// Time and category as text.
fn rest(table: &Table) -> String {
    let Table { time, category, .. } = table;
    format!("CAST(CONCAT_WS('|', `{time}`, CRC32(`{category}`)) AS BINARY)")
}

/// A column as `SHOW COLUMNS` describes it.
struct Column {
    name: String,
    kind: String,
    is_auto_increment: bool,
}

fn column(row: &MySqlRow) -> Result<Column, sqlx::Error> {
    let text = |name: &str| {
        let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(name)?;
        Ok::<_, sqlx::Error>(String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned())
    };
    let extra = text("Extra")?.to_ascii_lowercase();
    Ok(Column {
        name: text("Field")?,
        kind: text("Type")?.to_ascii_lowercase(),
        is_auto_increment: extra.contains("auto_increment"),
    })
}

/// How the rows of `table` can be followed. A view has no index.
fn order(of: Followed, table: &Table, columns: &[Column], indexes: &[Part]) -> Order {
    let named = |name: &str| {
        let mut columns = columns.iter();
        columns.find(|column| column.name.eq_ignore_ascii_case(name))
    };
    let is_indexed = |name: &str| covers(indexes, &[name]);
    let Table { name, time, .. } = table;
    if let Some(sequence) = &table.sequence {
        let problem = match named(sequence) {
            None => Some(format!("`{name}` has no column `{sequence}`")),
            Some(Column { kind, .. }) if !kind.contains("int") => Some(format!(
                "the column `{sequence}` of `{name}` is {kind}: expected integers"
            )),
            Some(_) if !indexes.is_empty() && !is_indexed(sequence) => Some(format!(
                "no index of `{name}` begins with `{sequence}`: create one"
            )),
            Some(_) => None,
        };
        return problem.map_or_else(|| Order::Sequence(sequence.as_str().into()), Order::None);
    }
    let counted = columns.iter().find(|column| column.is_auto_increment);
    if let Some(column) = counted.filter(|column| is_indexed(&column.name)) {
        return Order::Sequence(column.name.as_str().into());
    }
    let is_moment = |column: &Column| {
        column.kind.starts_with("datetime") || column.kind.starts_with("timestamp")
    };
    if is_indexed(time) && named(time).is_some_and(is_moment) {
        return Order::Time;
    }
    let setting = of.as_str();
    Order::None(format!(
        "`{name}` has no AUTO_INCREMENT column, and no index that begins with the date and time `{time}`: create such an index, \
         or set tables.{setting}.sequence"
    ))
}

/// `None`: negative or not an integer.
fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Column, NewRows, Order, Part, order};
    use crate::store::new_rows::Followed;
    use reckon_contract::Tuning;
    use reckon_contract::tables::Tables;

    fn tables(yaml: &str) -> Tables {
        Tuning::parse(&format!("tables: {yaml}"))
            .unwrap()
            .tuning
            .tables
    }

    #[test]
    fn new_rows_are_read_by_ranges_of_an_index() {
        let rows = NewRows::new(&tables("{userId: Text, purchases: {sequence: n}}"));
        let purchases = rows.tables[1].as_ref().unwrap();
        insta::assert_snapshot!(rows.numbers(purchases, "n", &[(3, u64::MAX)], 10), @"SELECT CAST(`n` AS CHAR), CAST(LEFT(CONVERT(`id` USING utf8mb4), 65) AS BINARY), CAST(CONCAT_WS('|', `purchased_at`, CRC32(`product_category`)) AS BINARY) FROM `purchase` WHERE `n` >= 3 ORDER BY `n` LIMIT 10");
        insta::assert_snapshot!(rows.numbers(purchases, "n", &[(3, 5), (9, 9)], 10), @"SELECT CAST(`n` AS CHAR), CAST(LEFT(CONVERT(`id` USING utf8mb4), 65) AS BINARY), CAST(CONCAT_WS('|', `purchased_at`, CRC32(`product_category`)) AS BINARY) FROM `purchase` WHERE (`n` >= 3 AND `n` <= 5) OR `n` = 9 ORDER BY `n` LIMIT 10");
        insta::assert_snapshot!(rows.times(purchases, Some(60), None, 10), @"SELECT CAST(TIMESTAMPDIFF(SECOND, '1970-01-01', `purchased_at`) AS CHAR), CAST(LEFT(CONVERT(`id` USING utf8mb4), 65) AS BINARY), CAST(CONCAT_WS('|', `purchased_at`, CRC32(`product_category`)) AS BINARY) FROM `purchase` WHERE `purchased_at` >= TIMESTAMP'1970-01-01 00:00:00' + INTERVAL 60 SECOND ORDER BY `purchased_at` DESC LIMIT 10");
        let rows = NewRows::new(&Tables::default());
        let searches = rows.tables[0].as_ref().unwrap();
        insta::assert_snapshot!(rows.times(searches, None, Some(90), 10), @"SELECT CAST(TIMESTAMPDIFF(SECOND, '1970-01-01', `searched_at`) AS CHAR), CAST(`id` + 0 AS CHAR), CAST(CONCAT_WS('|', `searched_at`, CRC32(`category`)) AS BINARY) FROM `searches` WHERE `searched_at` < TIMESTAMP'1970-01-01 00:00:00' + INTERVAL 90 SECOND ORDER BY `searched_at` DESC LIMIT 10");
    }

    #[test]
    fn a_table_is_followed_by_its_sequence_then_its_auto_increment_column_then_its_time() {
        let column = |name: &str, kind: &str| Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            is_auto_increment: name == "n",
        };
        let part = |column: &str| Part {
            index: column.to_owned(),
            column: Some(column.to_owned()),
            is_used: true,
        };
        let plain = tables("{}").searches().unwrap();
        let chosen = tables("{searches: {sequence: M}}").searches().unwrap();
        let columns = [
            column("id", "bigint"),
            column("searched_at", "datetime(6)"),
            column("m", "int unsigned"),
        ];
        let counted = [column("n", "bigint"), column("searched_at", "datetime")];
        let dates = [column("searched_at", "date")];
        let text = [column("m", "varchar(9)")];
        let order = |table, columns: &[Column], indexes: &[&str]| {
            let indexes: Vec<Part> = indexes.iter().map(|name| part(name)).collect();
            match order(Followed::Searches, table, columns, &indexes) {
                Order::Sequence(column) => format!("sequence {column}"),
                Order::Time => "time".to_owned(),
                Order::None(reason) => reason,
            }
        };
        assert_eq!(order(&plain, &counted, &["n", "searched_at"]), "sequence n");
        assert_eq!(order(&plain, &columns, &["id", "searched_at"]), "time");
        assert_eq!(
            order(&chosen, &columns, &["m", "searched_at"]),
            "sequence M"
        );
        // The table is a view.
        assert_eq!(order(&chosen, &columns, &[]), "sequence M");
        let nothing = "`searches` has no AUTO_INCREMENT column, and no index that begins with the date and time `searched_at`: \
            create such an index, or set tables.searches.sequence";
        assert_eq!(order(&plain, &columns, &["id"]), nothing);
        assert_eq!(order(&plain, &dates, &["searched_at"]), nothing);
        assert_eq!(
            order(&chosen, &columns, &["id"]),
            "no index of `searches` begins with `M`: create one"
        );
        assert_eq!(
            order(&chosen, &text, &["m"]),
            "the column `M` of `searches` is varchar(9): expected integers"
        );
        assert_eq!(
            order(&chosen, &dates, &["m"]),
            "`searches` has no column `M`"
        );
    }
}
