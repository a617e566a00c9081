//! The minimum privileges of the administering account.

use super::statement::{account, granted};

/// The statements that grant `admin` exactly the privileges that provisioning `database` requires. Any server
/// administrator runs them once. The statements assume that `_` in a grant matches any character. This holds for all
/// servers except MySQL with `partial_revokes`.
#[must_use]
pub fn needed(admin: &str, database: &str) -> Vec<String> {
    let admin = account(admin);
    let database = granted(database, true);
    vec![
        // This privilege is for creating and altering the accounts.
        format!("GRANT CREATE USER ON *.* TO {admin}"),
        // These are for creating the database and the owner's rows, and for granting privileges to the accounts.
        // `DELETE` is for the training and for erasing users.
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON {database}.* TO {admin} WITH GRANT OPTION"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn the_needed_privileges_are_for_one_database() {
        insta::assert_snapshot!(needed("admin", "shop_a").join("\n"), @r"
        GRANT CREATE USER ON *.* TO 'admin'@'%'
        GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON `shop\_a`.* TO 'admin'@'%' WITH GRANT OPTION
        ");
    }
}
