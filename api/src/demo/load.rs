//! Writes the demo data into empty tables: all of it or nothing.

use crate::demo::{self, Event};
use crate::store::location::Location;
use crate::store::mysql::session::{Purpose, open};
use crate::store::{mysql, sqlite};
use anyhow::{Context as _, bail};
use reckon_contract::tables::{Table, Tables};
use sqlx::{Connection, Database, Encode, Executor, IntoArguments, QueryBuilder, Type};
use std::path::Path;
use std::time::Duration;
use tracing::info;

/// Rows of one statement, which then fits into one TLS record of 16 KiB. The driver leaves Nagle's algorithm on, so
/// bytes after the first record wait 40 ms for the server's delayed acknowledgement (measured: 33 s instead of 12 for
/// all rows).
const CHUNK: usize = 100;
/// Maximum wait for a table that another session has locked.
const LOCK_WAIT: Duration = Duration::from_mins(1);

/// Checks that the tables have their default names.
///
/// # Errors
/// The tables have other names, or text as user ids.
pub fn check(tables: &Tables) -> anyhow::Result<()> {
    if !tables.is_default() {
        bail!(
            "demo data fit only the tables with the default names: remove `tables` from the tuning file, or load your own data with \
             `reckon-api import`"
        );
    }
    Ok(())
}

/// Fills the tables at `location`, which have their default names; creates missing ones.
///
/// # Errors
/// A table already has rows, or the database returns an error.
pub async fn fill(location: &Location) -> anyhow::Result<()> {
    match location {
        Location::MySql(address) => {
            mysql::migrate::migrate(address, &Tables::default(), |line| println!("{line}")).await?;
            let purpose = Purpose::Write {
                lock_wait: LOCK_WAIT,
            };
            let mut session = open(address, purpose)
                .await
                .context("failed to connect to the database")?;
            let rows = write(&mut session).await?;
            println!("{rows} rows of demo data written: users {:?}", demo::USERS);
        }
        Location::Sqlite(path) => {
            let rows = fill_file(path).await?;
            println!(
                "{}: {rows} rows of demo data written: users {:?}",
                path.display(),
                demo::USERS
            );
        }
    }
    Ok(())
}

/// Ensures that there is a file at `path`: creates a missing one with demo data if `demo` is set.
///
/// # Errors
/// The file is missing and `demo` is off, the file cannot be created, or `tables` are not the default ones.
pub(crate) async fn ensure_file(path: &Path, demo: bool, tables: &Tables) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    if !demo {
        bail!(
            "there is no data at {}: set DB_HOST to use MySQL, --data to use another file, or --demo to make this one with demo data",
            path.display()
        );
    }
    check(tables)?;
    // Created under another name, so that an interrupted start leaves no partly filled file at `path`.
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let rows = fill_file(&partial).await?;
    std::fs::rename(&partial, path)
        .with_context(|| format!("failed to create {}", path.display()))?;
    info!(path = %path.display(), rows, "demo data written");
    Ok(())
}

async fn fill_file(path: &Path) -> anyhow::Result<usize> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("failed to create {}", directory.display()))?;
    }
    let mut session = sqlite::create(path)
        .await
        .with_context(|| format!("failed to create {}", path.display()))?;
    let rows = write(&mut session).await?;
    session
        .close()
        .await
        .with_context(|| format!("failed to close {}", path.display()))?;
    Ok(rows)
}

async fn write<C>(session: &mut C) -> anyhow::Result<usize>
where
    C: Connection,
    <C::Database as Database>::Arguments: IntoArguments<C::Database>,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
    for<'q> i64: Encode<'q, C::Database> + Type<C::Database>,
    for<'q> bool: Encode<'q, C::Database> + Type<C::Database>,
    for<'q> &'q str: Encode<'q, C::Database> + Type<C::Database>,
    for<'q> Option<&'q str>: Encode<'q, C::Database> + Type<C::Database>,
{
    let mut rows = 0;
    let mut transaction = session.begin().await.context("failed to begin")?;
    let people: Vec<demo::Person> = demo::USERS.map(demo::person).collect();
    for (table, events) in [
        (
            Table::searches(),
            people
                .iter()
                .flat_map(|person| &person.searches)
                .collect::<Vec<_>>(),
        ),
        (
            Table::purchases(),
            people.iter().flat_map(|person| &person.purchases).collect(),
        ),
    ] {
        let name = &table.name;
        let mut query = QueryBuilder::<C::Database>::new(format!("SELECT 1 FROM {name} LIMIT 1"));
        if query
            .build()
            .fetch_optional(&mut *transaction)
            .await
            .with_context(|| format!("failed to read {name}"))?
            .is_some()
        {
            bail!("the table {name} has rows already: demo data is only written into empty tables");
        }
        for chunk in events.chunks(CHUNK) {
            insert::<C::Database>(&table, chunk)
                .build()
                .execute(&mut *transaction)
                .await
                .with_context(|| format!("failed to write {name}"))?;
        }
        rows += events.len();
    }
    transaction.commit().await.context("failed to commit")?;
    Ok(rows)
}

fn insert<'q, D: Database>(table: &Table, events: &[&'q Event]) -> QueryBuilder<D>
where
    i64: Encode<'q, D> + Type<D>,
    bool: Encode<'q, D> + Type<D>,
    &'q str: Encode<'q, D> + Type<D>,
    Option<&'q str>: Encode<'q, D> + Type<D>,
{
    let columns = [
        Some(&table.user),
        table.text.as_ref(),
        Some(&table.time),
        Some(&table.category),
        table.success.as_ref(),
    ];
    let columns: Vec<&str> = columns.into_iter().flatten().map(|name| &**name).collect();
    let start = format!("INSERT INTO {} ({}) ", table.name, columns.join(", "));
    let mut query = QueryBuilder::new(start);
    query.push_values(events, |mut row, event| {
        row.push_bind(event.user_id)
            .push_bind(event.text.as_str())
            .push_bind(event.at.as_str())
            .push_bind(event.category)
            .push_bind(event.success);
    });
    query
}
