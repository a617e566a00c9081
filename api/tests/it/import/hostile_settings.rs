//! Settings that a server makes for every session do not affect an import or a migration.

use super::{SAMPLE, Target, purchases, sample, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::Flavour;

/// Run by the server in each session of an account without administrative privileges.
const HOSTILE: &str = "SET sql_select_limit = 1, max_join_size = 1, sql_big_selects = 0, sql_safe_updates = 1, \
    foreign_key_checks = 0, unique_checks = 0, group_concat_max_len = 4, time_zone = '+13:00', completion_type = 2, \
    sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,HIGH_NOT_PRECEDENCE,IGNORE_SPACE'; \
    SET NAMES latin1; USE reckon_other; SET autocommit = 0; SET SESSION TRANSACTION READ ONLY; \
    START TRANSACTION WITH CONSISTENT SNAPSHOT";

async fn hostile_settings_of_the_server_change_no_row(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(format!(
            "CREATE DATABASE reckon_other; CREATE DATABASE reckon_rules; SET GLOBAL init_connect = \"{HOSTILE}\"; \
             USE reckon_rules; CREATE TABLE categories (name VARCHAR(60) PRIMARY KEY); INSERT INTO categories VALUES ('books'); \
             CREATE TABLE purchase (id INT, purchased_at TIMESTAMP NULL, product_category VARCHAR(60), product_name VARCHAR(60), \
                 FOREIGN KEY (product_category) REFERENCES categories (name))"
        ))
        .await;
    let target = Target::Server(&server, "reckon");
    let said = target.succeed(&SAMPLE).await;
    for line in ["searches: index created", "purchase: index created"] {
        assert!(said.contains(line), "no {line}: {said}");
    }
    let [mut searches, purchase] = sample();
    for row in &mut searches {
        // The column holds whole seconds.
        row.2.truncate(19);
    }
    assert_eq!(target.rows("searches").await, searches);
    assert_eq!(target.rows("purchase").await, purchase);
    let mut migrate = target.command().args(["migrate"]).spawn();
    let exit = migrate.process.exit(super::SOON).await;
    assert!(exit.status.success());
    assert_eq!(
        migrate.process.logs(),
        [
            "searches: index exists",
            "purchase: index exists",
            "reckon_model: table exists",
            "reckon_events: table exists",
        ]
    );

    let target = Target::Server(&server, "reckon_rules");
    let directory = scratch();
    let file = purchases(&directory, 3, "1,2025-03-01 00:00:00,toys,a");
    let said = target.fail(&["--purchases", &file]).await;
    assert!(said.contains("foreign key constraint fails"), "{said}");
    let file = purchases(&directory, 2, "1,2025-03-01 00:00:00,books,a");
    target.succeed(&["--purchases", &file]).await;
    let select =
        "SELECT CAST(UNIX_TIMESTAMP(purchased_at) AS CHAR) FROM purchase ORDER BY purchased_at";
    assert_eq!(target.rows_of(select).await, ["1740787200", "1740787260"]);
}

on_each_flavour!(hostile_settings_of_the_server_change_no_row);
