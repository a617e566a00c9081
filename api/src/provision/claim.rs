//! The database and the rows that record its owner: the first row also records the account that reads, a second one the
//! account that migrates, a third one the account that trains.

use super::role::Role;
use super::session::Session;
use super::{error::Error, statement};
use reckon_contract::provisioning::{Change, Owner};

/// The record of an account in a row.
pub(super) struct Note {
    /// The account's name.
    pub account: String,
    /// Whether the account was created here.
    pub is_made: bool,
}

struct Row {
    key: String,
    owner: Owner,
    note: Note,
}

/// The system databases of servers; names are compared in any case.
const SYSTEM: [&str; 4] = ["information_schema", "mysql", "performance_schema", "sys"];

/// Claims the database for the owner, or returns the error that names its owner.
pub(super) async fn take(
    session: &mut Session,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<(), Error> {
    let database = session.database().to_owned();
    if SYSTEM.contains(&database.to_lowercase().as_str()) {
        return Err(Error::SystemDatabase(database));
    }
    let before = read(session).await?;
    let found = match before {
        Some(rows) => match owner_of(rows) {
            Some(found) => found,
            None => insert(session, owner, changes).await?,
        },
        None => begin(session, owner, changes).await?,
    };
    if !found.is_same_place(owner) {
        return Err(another(database, found));
    }
    if found.uid != owner.uid {
        session.run(&statement::renew(&database, owner)).await?;
        changes.push(Change::OwnerRenewed);
    }
    Ok(())
}

/// Checks that the database is already ours, with an account for reading that was created here.
pub(super) async fn ours(session: &mut Session, owner: &Owner) -> Result<(), Error> {
    let database = session.database().to_owned();
    let row = read(session)
        .await?
        .and_then(|rows| row(rows, Role::Reader));
    match row {
        Some(row) if !row.owner.is_same_place(owner) => Err(another(database, row.owner)),
        Some(row) if row.note.is_made && row.note.account == owner.user_name() => Ok(()),
        None if !exists(session).await? => Err(Error::UnknownDatabase(database)),
        _ => Err(Error::UserNotOurs {
            user: owner.user_name(),
            database,
        }),
    }
}

/// The record of the account in this role.
pub(super) async fn note(session: &mut Session, role: Role) -> Result<Option<Note>, Error> {
    let row = read(session).await?.and_then(|rows| row(rows, role));
    Ok(row.map(|row| row.note))
}

/// Reads the rows; `None`: no table.
async fn read(session: &mut Session) -> Result<Option<Vec<Row>>, Error> {
    let read = statement::read_owner(session.database());
    let rows = match session.rows(&read).await {
        Ok(rows) => rows,
        Err(failure) if matches!(failure.number, Some(1049 | 1146)) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let row = |row: Vec<String>| {
        let [key, cluster, namespace, name, uid, account, made] = row.try_into().ok()?;
        Some(Row {
            key,
            owner: Owner {
                cluster,
                namespace,
                name,
                uid,
            },
            note: Note {
                account,
                is_made: made == "1",
            },
        })
    };
    Ok(Some(rows.into_iter().filter_map(row).collect()))
}

fn row(rows: Vec<Row>, role: Role) -> Option<Row> {
    let key = role.row().to_string();
    rows.into_iter().find(|row| row.key == key)
}

fn owner_of(rows: Vec<Row>) -> Option<Owner> {
    row(rows, Role::Reader).map(|row| row.owner)
}

fn another(database: String, owner: Owner) -> Error {
    Error::OwnedByAnother {
        database,
        owner: Box::new(owner),
    }
}

async fn exists(session: &mut Session) -> Result<bool, Error> {
    let exists = statement::database_exists(session.database());
    Ok(session.number(&exists).await? > 0)
}

/// Creates the database, or adopts it if it is empty.
async fn begin(
    session: &mut Session,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<Owner, Error> {
    let database = session.database().to_owned();
    if !exists(session).await? {
        match session.run(&statement::make_database(&database)).await {
            Ok(()) => changes.push(Change::DatabaseMade),
            // Another session created it first.
            Err(failure) if failure.number == Some(1007) => {}
            Err(failure) => return Err(failure.into()),
        }
    }
    let tables = session.number(&statement::count_tables(&database)).await?;
    if tables > 0 {
        // Another provisioner may have completed all steps in the meantime, including its migration.
        return match read(session).await?.and_then(owner_of) {
            Some(found) => Ok(found),
            None => Err(Error::DatabaseNotEmpty {
                adopt: statement::adoption(&database, owner),
                database,
            }),
        };
    }
    session.run(&statement::make_owner_table(&database)).await?;
    insert(session, owner, changes).await
}

/// Writes the owner's row, and then reads the stored row: of two concurrent writes, one fails.
async fn insert(
    session: &mut Session,
    owner: &Owner,
    changes: &mut Vec<Change>,
) -> Result<Owner, Error> {
    let claim = statement::claim(session.database(), owner);
    match session.run(&claim).await {
        Ok(()) if !changes.contains(&Change::DatabaseMade) => {
            changes.push(Change::DatabaseAdopted);
        }
        Ok(()) => {}
        Err(failure) if failure.number == Some(1062) => {}
        Err(failure) => return Err(failure.into()),
    }
    let found = read(session).await?.and_then(owner_of);
    found.ok_or_else(|| Error::Other {
        action: format!("read the owner of the database {}", session.database()),
        message: "the row that was just written is not there".to_owned(),
    })
}
