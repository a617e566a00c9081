//! Missing objects are created, once.

use super::{assert_covered, command, definition, fill, migrate, run};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{CategoryColumn, OriginalTables};
use crate::harness::sql_server::Flavour;

async fn missing_tables_are_created_with_their_index_and_found_the_second_time(flavour: Flavour) {
    let server = flavour.start().await;
    let first = migrate(&server, "reckon").await;
    println!("{flavour:?}: {:?} in {:?}", first.lines, first.took);
    assert_eq!(
        first.lines,
        [
            "searches: table and index created",
            "purchase: table and index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    assert!(first.succeeded);
    let second = migrate(&server, "reckon").await;
    assert_eq!(
        second.lines,
        [
            "searches: index exists",
            "purchase: index exists",
            "reckon_model: table exists",
            "reckon_events: table exists",
        ]
    );
    assert!(second.succeeded);
    fill(&server, "reckon", 5000).await;
    assert_covered(&server, "reckon").await;
}

async fn an_index_is_created_beside_existing_ones_and_used(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    server
        .execute(
            "ALTER TABLE reckon.searches ADD INDEX by_user (id), ADD INDEX by_time (id, searched_at); \
             ALTER TABLE reckon.purchase ADD INDEX by_prefix (id, purchased_at, product_category(10))",
        )
        .await;
    fill(&server, "reckon", 5000).await;
    let first = migrate(&server, "reckon").await;
    assert_eq!(
        first.lines,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    assert_covered(&server, "reckon").await;
}

async fn an_index_of_another_name_on_these_columns_is_sufficient(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    server
        .execute(
            "ALTER TABLE reckon.searches ADD INDEX ours (ID, Searched_At, Category, success); \
             ALTER TABLE reckon.purchase ADD UNIQUE INDEX theirs (id, purchased_at, product_category)",
        )
        .await;
    let before = definition(&server, "reckon", "searches").await;
    let ran = migrate(&server, "reckon").await;
    assert_eq!(
        ran.lines,
        [
            "searches: index exists",
            "purchase: index exists",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    assert_eq!(definition(&server, "reckon", "searches").await, before);
}

async fn an_index_that_the_optimizer_does_not_use_is_insufficient(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let (hidden, expression) = match flavour {
        Flavour::MariaDb => ("IGNORED", "(id, searched_at)"),
        Flavour::MySql9 => ("INVISIBLE", "(id, (LOWER(search)), searched_at, category)"),
    };
    server
        .execute(format!(
            "ALTER TABLE reckon.searches ADD INDEX with_expression {expression}; \
             ALTER TABLE reckon.purchase ADD INDEX hidden (id, purchased_at, product_category) {hidden}"
        ))
        .await;
    fill(&server, "reckon", 5000).await;
    let ran = migrate(&server, "reckon").await;
    assert_eq!(
        ran.lines,
        [
            "searches: index created",
            "purchase: index created",
            "reckon_model: table created",
            "reckon_events: table created",
        ]
    );
    // This index has all columns too, and MySQL may prefer it, although it then needs a sort.
    server
        .execute("ALTER TABLE reckon.searches DROP INDEX with_expression")
        .await;
    assert_covered(&server, "reckon").await;
}

async fn a_category_too_wide_for_the_index_gets_a_narrow_one_and_a_message(flavour: Flavour) {
    let server = flavour.start().await;
    for (category, database) in [
        (CategoryColumn::Text, "reckon_text"),
        (CategoryColumn::Varchar2000, "reckon_wide"),
    ] {
        let tables = OriginalTables {
            category,
            ..OriginalTables::default()
        };
        tables.create(&server, database).await;
        for done in ["created", "exists"] {
            let ran = migrate(&server, database).await;
            assert!(ran.succeeded, "{:?}", ran.lines);
            assert_eq!(
                ran.lines,
                [
                    format!(
                        "searches: index on (id, searched_at) {done}; the column category is too wide for an index that \
                         covers it, so each answer reads the rows themselves (VARCHAR(255) would be covered)"
                    ),
                    format!(
                        "purchase: index on (id, purchased_at) {done}; the column product_category is too wide for an \
                         index that covers it, so each answer reads the rows themselves (VARCHAR(255) would be covered)"
                    ),
                    format!("reckon_model: table {done}"),
                    format!("reckon_events: table {done}"),
                ]
            );
        }
        let made = definition(&server, database, "searches").await;
        assert_eq!(made.matches("KEY").count(), 1, "{made}");
        assert!(
            made.contains("KEY `reckon_time` (`id`,`searched_at`)"),
            "{made}"
        );
    }
}

async fn five_concurrent_migrations_create_one_index(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    fill(&server, "reckon", 20_000).await;
    server.execute("CREATE DATABASE reckon_absent").await;
    for database in ["reckon", "reckon_absent"] {
        let all: Vec<_> = (0..5)
            .map(|_| tokio::spawn(run(command(&server, database, "migrate"))))
            .collect();
        let mut makers = 0;
        for one in all {
            let ran = one.await.unwrap();
            println!("{flavour:?}: {:?} in {:?}", ran.lines, ran.took);
            assert!(ran.succeeded, "{:?}", ran.lines);
            makers += usize::from(
                ran.lines
                    .iter()
                    .any(|line| line == "searches: index created"),
            );
        }
        if database == "reckon" {
            assert_eq!(makers, 1);
        }
        for table in ["searches", "purchase"] {
            let made = definition(&server, database, table).await;
            assert_eq!(made.matches("KEY").count(), 1, "{made}");
        }
    }
    assert_covered(&server, "reckon").await;
}

on_each_flavour!(
    missing_tables_are_created_with_their_index_and_found_the_second_time,
    an_index_is_created_beside_existing_ones_and_used,
    an_index_of_another_name_on_these_columns_is_sufficient,
    an_index_that_the_optimizer_does_not_use_is_insufficient,
    a_category_too_wide_for_the_index_gets_a_narrow_one_and_a_message,
    five_concurrent_migrations_create_one_index,
);
