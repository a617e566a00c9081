//! The least that the administering account must be allowed.

use super::statement::{account, granted};

/// The statements that allow `admin` all that provisioning and migrating `database` takes, and nothing else: any server
/// administrator runs them once. They are for servers on which `_` in a grant stands for any character, as it does
/// everywhere but on MySQL with `partial_revokes`.
#[must_use]
pub fn needed(admin: &str, database: &str) -> Vec<String> {
    let admin = account(admin);
    let database = granted(database, true);
    vec![
        // Makes and alters the API's account.
        format!("GRANT CREATE USER ON *.* TO {admin}"),
        // Makes the database, the owner's row and the tables with their indexes, and lets the API's account read.
        format!(
            "GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON {database}.* TO {admin} WITH GRANT OPTION"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn the_least_is_for_one_database() {
        insta::assert_snapshot!(needed("admin", "shop_a").join("\n"), @r"
        GRANT CREATE USER ON *.* TO 'admin'@'%'
        GRANT SELECT, INSERT, UPDATE, CREATE, ALTER, INDEX ON `shop\_a`.* TO 'admin'@'%' WITH GRANT OPTION
        ");
    }
}
