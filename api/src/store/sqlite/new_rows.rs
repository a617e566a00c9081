//! The statements that follow the new rows of a table in a SQLite file.

use crate::store::new_rows::{Answer, Followed, Numbered, Order, Question, Span, key, user_id};
use reckon_contract::tables::{Table, Tables, UserIdType};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, SqliteConnection, raw_sql};

/// The column that every ordinary table has.
const ROW_ID: &str = "_rowid_";

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
        session: &mut SqliteConnection,
        of: Followed,
        question: &Question,
    ) -> Result<Answer, sqlx::Error> {
        let Some(table) = &self.tables[of as usize] else {
            return Ok(Answer::Order(Order::None(
                "there is no such table".to_owned(),
            )));
        };
        match question {
            Question::Order => order(session, of, table).await.map(Answer::Order),
            Question::Newest { column } => {
                let sql = format!("SELECT MAX(`{column}`) FROM `{}`", table.name);
                let row = session.fetch_one(raw_sql(AssertSqlSafe(sql))).await?;
                let newest: Option<i64> = row.try_get(0)?;
                Ok(Answer::Newest(
                    newest.and_then(|newest| newest.try_into().ok()),
                ))
            }
            Question::Numbers {
                column,
                spans,
                limit,
            } => {
                let sql = numbers(table, column, spans, *limit);
                let rows = session.fetch_all(raw_sql(AssertSqlSafe(sql))).await?;
                let mut numbered = Vec::with_capacity(rows.len());
                for row in rows {
                    let number: i64 = row.try_get(0)?;
                    let user: Option<&str> = row.try_get(1)?;
                    let rest: Option<&str> = row.try_get(2)?;
                    let user = user.and_then(|user| user_id(user, self.ids));
                    numbered.push(Numbered {
                        number: number.try_into().unwrap_or_default(),
                        key: key(user.as_ref(), rest.unwrap_or_default().as_bytes()),
                        user,
                    });
                }
                Ok(Answer::Numbers(numbered))
            }
            Question::Times { .. } => Ok(Answer::Times(Vec::new())),
        }
    }
}

fn numbers(table: &Table, column: &str, spans: &[Span], limit: u32) -> String {
    let Table {
        name,
        user,
        time,
        category,
        ..
    } = table;
    let span = |(first, last): &Span| {
        let last = (*last).min(i64::MAX.cast_unsigned());
        format!("`{column}` BETWEEN {first} AND {last}")
    };
    let spans: Vec<String> = spans.iter().map(span).collect();
    let spans = spans.join(" OR ");
    format!(
        "SELECT `{column}`, CAST(`{user}` AS TEXT), CAST(`{time}` AS TEXT) || '|' || CAST(`{category}` AS TEXT) FROM `{name}` WHERE {spans} ORDER BY `{column}` LIMIT {limit}"
    )
}

/// Ordinary tables are followed by their row ids.
async fn order(
    session: &mut SqliteConnection,
    of: Followed,
    table: &Table,
) -> Result<Order, sqlx::Error> {
    if let Some(sequence) = &table.sequence {
        return Ok(Order::Sequence(sequence.as_str().into()));
    }
    let kind = "SELECT type = 'table' AND wr = 0 FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE";
    let row = sqlx::query(kind).bind(&table.name);
    let row = row.fetch_optional(&mut *session).await?;
    let is_ordinary = match row {
        Some(row) => row.try_get::<bool, _>(0)?,
        None => false,
    };
    Ok(if is_ordinary {
        Order::Sequence(ROW_ID.into())
    } else {
        let (name, setting) = (&table.name, of.as_str());
        Order::None(format!(
            "`{name}` is not an ordinary table with row ids: set tables.{setting}.sequence"
        ))
    })
}
