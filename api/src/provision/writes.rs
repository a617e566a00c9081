//! The privileges of the API's account to store events and erase users, on single tables. They are granted while the resource
//! needs them, and revoked when it does not. This module changes no privileges on other tables or of other roles.

use super::error::Error;
use super::failure;
use super::session::Session;
use super::statement::{self, MODEL_TABLE, OWNER_TABLE};
use crate::store::mysql::Address;
use crate::store::write::EVENTS_TABLE;
use reckon_contract::provisioning::Change;
use std::collections::{BTreeMap, BTreeSet};

/// The privileges for storing events and erasing users, in the syntax of `GRANT`.
const PRIVILEGES: [&str; 2] = ["INSERT", "DELETE"];
/// A privilege on a table that does not exist yet can be granted only together with `CREATE`, which is then revoked.
const CREATE: &str = "CREATE";

/// Privileges by table.
pub(super) type Privileges = BTreeMap<String, BTreeSet<&'static str>>;

/// The tables that an account should be able to write to, in addition to the table of received events.
#[derive(Clone, Copy)]
pub(super) struct Tables<'a> {
    /// Their names. Empty: no table. `None`: no table, and there was none before.
    pub named: Option<&'a BTreeSet<String>>,
    /// Whether the server stores names of tables in lower case.
    pub folds_case: bool,
}

impl Tables<'_> {
    /// The privileges that the account requires on each table. The owner chooses the names of the tables, but the
    /// tables of owners and models always remain read-only.
    fn required(self) -> Privileges {
        let mut names = self.named.cloned().unwrap_or_default();
        if self.folds_case {
            names = names.iter().map(|name| name.to_lowercase()).collect();
        }
        if !names.is_empty() {
            names.insert(EVENTS_TABLE.to_owned());
        }
        let own = [OWNER_TABLE, MODEL_TABLE];
        names.retain(|name| !own.iter().any(|own| own.eq_ignore_ascii_case(name)));
        let all = names.into_iter();
        all.map(|name| (name, BTreeSet::from(PRIVILEGES))).collect()
    }
}

/// For each table, the privileges that `of` has and `without` lacks.
fn difference(of: &Privileges, without: &Privileges) -> Privileges {
    let tables = of.iter().map(|(table, privileges)| {
        let none = BTreeSet::new();
        let others = without.get(table).unwrap_or(&none);
        (table.clone(), privileges - others)
    });
    tables
        .filter(|(_, privileges)| !privileges.is_empty())
        .collect()
}

/// Grants the user the missing privileges on `tables`, and revokes [`PRIVILEGES`] and [`CREATE`] on all other tables.
/// Returns the changes. `held` are the user's current privileges; `None`: unknown.
///
/// # Errors
/// See [`Error`]. [`Error::TooManyConnections`] if no connection of the account is free: then it is unknown whether a
/// privilege must be revoked.
pub(super) async fn ensure(
    server: &Address,
    session: &mut Session,
    user: &str,
    held: Option<Privileges>,
    tables: Tables<'_>,
) -> Result<Vec<Change>, Error> {
    let wanted = tables.required();
    if held.is_none() && wanted.is_empty() && tables.named.is_some() {
        return Err(Error::TooManyConnections {
            address: failure::address(server),
            message: format!(
                "all connections of the account {user} are in use, so its privileges cannot be read"
            ),
        });
    }
    // If they are unknown, everything is granted, and the next call revokes the superfluous privileges.
    let is_known = held.is_some();
    let known = held.unwrap_or_default();
    let (missing, superfluous) = (difference(&wanted, &known), difference(&known, &wanted));
    for (table, privileges) in &missing {
        grant(session, user, table, privileges).await?;
    }
    for (table, privileges) in &superfluous {
        revoke(session, user, table, privileges).await?;
    }
    let granted = (is_known && !missing.is_empty()).then_some(Change::WriteGranted);
    let revoked = (!superfluous.is_empty()).then_some(Change::WriteRevoked);
    Ok(granted.into_iter().chain(revoked).collect())
}

/// Reads which of the privileges of this module the session's own account, `user`, has.
pub(super) async fn held(own: &mut Session, user: &str) -> Result<Privileges, Error> {
    let all = [PRIVILEGES[0], PRIVILEGES[1], CREATE];
    let read = statement::table_privileges(own.database(), user, &all);
    let mut held = Privileges::new();
    for row in own.rows(&read).await? {
        let [table, privilege] = &row[..] else {
            continue;
        };
        if let Some(privilege) = all.iter().find(|known| *known == privilege) {
            held.entry(table.clone()).or_default().insert(privilege);
        }
    }
    Ok(held)
}

async fn grant(
    session: &mut Session,
    user: &str,
    table: &str,
    privileges: &BTreeSet<&str>,
) -> Result<(), Error> {
    let database = session.database().to_owned();
    let privileges: Vec<&str> = privileges.iter().copied().collect();
    let grant = statement::grant_on_table(&database, user, table, &privileges);
    match session.run(&grant).await {
        Ok(()) => Ok(()),
        // The table does not exist.
        Err(failure) if failure.number == Some(1146) => {
            let privileges = [&privileges[..], &[CREATE]].concat();
            let grant = statement::grant_on_table(&database, user, table, &privileges);
            session.run(&grant).await?;
            revoke(session, user, table, &BTreeSet::from([CREATE])).await
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn revoke(
    session: &mut Session,
    user: &str,
    table: &str,
    privileges: &BTreeSet<&str>,
) -> Result<(), Error> {
    let database = session.database().to_owned();
    let privileges: Vec<&str> = privileges.iter().copied().collect();
    let revoke = statement::revoke_on_table(&database, user, table, &privileges);
    match session.run(&revoke).await {
        Ok(()) => Ok(()),
        // There is no such grant: another provisioner has already revoked it.
        Err(failure) if failure.number == Some(1147) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Privileges, Tables, difference};
    use std::collections::BTreeSet;

    fn required(names: &[&str], folds_case: bool) -> Privileges {
        let tables = names.iter().map(|name| (*name).to_owned()).collect();
        let tables = Tables {
            named: Some(&tables),
            folds_case,
        };
        tables.required()
    }

    fn names(privileges: &Privileges) -> Vec<&str> {
        privileges.keys().map(String::as_str).collect()
    }

    #[test]
    fn an_owner_cannot_name_tables_of_reckon_itself() {
        let named = ["Orders", "RECKON_OWNER", "reckon_model", "reckon_events"];
        assert_eq!(names(&required(&named, false)), ["Orders", "reckon_events"]);
        assert_eq!(names(&required(&named, true)), ["orders", "reckon_events"]);
        assert_eq!(required(&[], false), Privileges::new());
    }

    #[test]
    fn only_what_differs_is_granted_or_revoked() {
        let wanted = required(&["orders"], false);
        let mut held = wanted.clone();
        held.insert("orders".to_owned(), BTreeSet::from(["CREATE", "DELETE"]));
        held.insert("former".to_owned(), BTreeSet::from(["INSERT"]));
        let of = |table: &str, privilege| (table.to_owned(), BTreeSet::from([privilege]));
        let missing = Privileges::from([of("orders", "INSERT")]);
        assert_eq!(difference(&wanted, &held), missing);
        let superfluous = Privileges::from([of("former", "INSERT"), of("orders", "CREATE")]);
        assert_eq!(difference(&held, &wanted), superfluous);
    }
}
