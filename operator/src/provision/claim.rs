//! The database and the row that says whose it is.

use super::session::Session;
use super::{Change, adoption, error::Error, owner::Owner, statement};

/// What the row says.
pub(super) struct Row {
    pub owner: Owner,
    /// The account's name.
    pub account: String,
    /// Whether the account was made here.
    pub account_made: bool,
}

/// The databases that servers come with, however they are written.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Makes the database ours, or says whose it is.
pub(super) async fn take(
    session: &mut Session,
    database: &str,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<Row, Error> {
    if SYSTEM.contains(&database.to_lowercase().as_str()) {
        return Err(Error::SystemDatabase(database.to_owned()));
    }
    let before = read(session, database).await?;
    let row = match before {
        Some(Some(row)) => row,
        Some(None) => insert(session, database, owner, changes).await?,
        None => begin(session, database, owner, changes).await?,
    };
    if !row.owner.is_same_place(owner) {
        return Err(another(database, row));
    }
    if row.owner.uid != owner.uid {
        session.run(&statement::renew(database, owner)).await?;
        changes.push(Change::OwnerRenewed);
    }
    Ok(row)
}

/// The row of a database that has to be ours already, with an account that was made here.
pub(super) async fn ours(
    session: &mut Session,
    database: &str,
    owner: &Owner,
) -> Result<Row, Error> {
    match read(session, database).await?.flatten() {
        Some(row) if !row.owner.is_same_place(owner) => Err(another(database, row)),
        Some(row) if row.account_made && row.account == owner.user_name() => Ok(row),
        None if !exists(session, database).await? => {
            Err(Error::UnknownDatabase(database.to_owned()))
        }
        _ => Err(Error::UserNotOurs {
            user: owner.user_name(),
            database: database.to_owned(),
        }),
    }
}

/// The row; `Some(None)`: the table is there without one; `None`: no table.
pub(super) async fn read(
    session: &mut Session,
    database: &str,
) -> Result<Option<Option<Row>>, Error> {
    let rows = match session.rows(&statement::read_owner(database)).await {
        Ok(rows) => rows,
        Err(failure) if matches!(failure.number, Some(1049 | 1146)) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let row = rows.into_iter().next();
    Ok(Some(row.and_then(|row| {
        let [cluster, namespace, name, uid, account, made] = row.try_into().ok()?;
        Some(Row {
            owner: Owner {
                cluster,
                namespace,
                name,
                uid,
            },
            account,
            account_made: made == "1",
        })
    })))
}

fn another(database: &str, row: Row) -> Error {
    Error::OwnedByAnother {
        database: database.to_owned(),
        owner: Box::new(row.owner),
    }
}

async fn exists(session: &mut Session, database: &str) -> Result<bool, Error> {
    let found = session
        .number(&statement::database_exists(database))
        .await?;
    Ok(found > 0)
}

/// Makes the database, or takes it if it is empty.
async fn begin(
    session: &mut Session,
    database: &str,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<Row, Error> {
    if !exists(session, database).await? {
        match session.run(&statement::make_database(database)).await {
            Ok(()) => changes.push(Change::DatabaseMade),
            // Somebody else was faster.
            Err(failure) if failure.number == Some(1007) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    let tables = session.number(&statement::count_tables(database)).await?;
    if tables > 0 {
        // Another operator may have gone through all of this meanwhile, its migration too.
        return match read(session, database).await?.flatten() {
            Some(row) => Ok(row),
            None => Err(Error::DatabaseNotEmpty {
                database: database.to_owned(),
                adopt: adoption(database, owner),
            }),
        };
    }
    session.run(&statement::make_owner_table(database)).await?;
    insert(session, database, owner, changes).await
}

/// Writes the row, and reads what is there then: of two who write, one fails.
async fn insert(
    session: &mut Session,
    database: &str,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<Row, Error> {
    match session.run(&statement::claim(database, owner)).await {
        Ok(()) if !changes.contains(&Change::DatabaseMade) => {
            changes.push(Change::DatabaseAdopted);
        }
        Ok(()) => {}
        Err(failure) if failure.number == Some(1062) => {}
        Err(failure) => return Err(failure.into()),
    }
    let row = read(session, database).await?.flatten();
    row.ok_or_else(|| Error::Other {
        doing: format!("read whose the database {database} is"),
        message: "the row that was just written is not there".to_owned(),
    })
}
