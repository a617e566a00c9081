//! All golden vectors, over the original's tables in each of their shapes.

use super::{address, insert_vectors};
use crate::golden::{Vector, compare, latin1_vectors, vectors};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::{
    CategoryColumn, Collation, IdColumn, OriginalTables, SuccessColumn,
};
use crate::harness::sql_server::{Flavour, SqlServer};
use reckon_api::store::mysql::{MySql, migrate};
use reckon_contract::tables::Tables;
use std::time::{Duration, Instant};

/// Every value of every field at least once.
const SHAPES: [OriginalTables; 3] = [
    OriginalTables {
        id: IdColumn::BigInt,
        category: CategoryColumn::Varchar255,
        success: SuccessColumn::Bit,
        collation: Collation::Utf8mb4GeneralCi,
        extra_columns: false,
    },
    OriginalTables {
        id: IdColumn::Int,
        category: CategoryColumn::Text,
        success: SuccessColumn::TinyInt,
        collation: Collation::Utf8mb4Bin,
        extra_columns: true,
    },
    OriginalTables {
        id: IdColumn::Int,
        category: CategoryColumn::Varchar2000,
        success: SuccessColumn::Bit,
        collation: Collation::Latin1,
        extra_columns: false,
    },
];

async fn all_100_compare_equal(server: &SqlServer, database: &str, latin1: bool) {
    let vectors = if latin1 { latin1_vectors() } else { vectors() };
    insert_vectors(server, database, &vectors).await;
    compare_again(server, database, &vectors).await;
}

async fn compare_again(server: &SqlServer, database: &str, vectors: &[Vector]) {
    let began = Instant::now();
    let store = MySql::new(
        &address(server, database),
        Duration::from_secs(10),
        &Tables::default(),
    );
    compare(store, vectors).await;
    println!("{database}: 100 of 100, twice, in {:.1?}", began.elapsed());
}

async fn hold_for_every_shape_of_the_original_tables(flavour: Flavour) {
    let server = flavour.start().await;
    for (n, shape) in SHAPES.into_iter().enumerate() {
        let database = format!("reckon_{n}");
        println!("{flavour:?} {shape:?}");
        shape.create(&server, &database).await;
        let latin1 = matches!(shape.collation, Collation::Latin1);
        all_100_compare_equal(&server, &database, latin1).await;
        migrate::migrate(&address(&server, &database), &Tables::default(), |line| {
            println!("{line}");
        })
        .await
        .unwrap();
        let vectors = if latin1 { latin1_vectors() } else { vectors() };
        compare_again(&server, &database, &vectors).await;
    }
}

async fn hold_for_two_tables_that_differ_in_charset_and_collation(flavour: Flavour) {
    let server = flavour.start().await;
    let charsets = [
        "utf8mb4 COLLATE utf8mb4_unicode_ci",
        "utf8mb4 COLLATE utf8mb4_general_ci",
        "latin1 COLLATE latin1_swedish_ci",
        "utf16 COLLATE utf16_general_ci",
    ];
    for (n, (searches, purchase)) in charsets.iter().zip(&charsets[1..]).enumerate() {
        let database = format!("reckon_{n}");
        println!("{flavour:?} {searches} and {purchase}");
        OriginalTables::default().create(&server, &database).await;
        server
            .execute(format!(
                "ALTER TABLE {database}.searches CONVERT TO CHARACTER SET {searches}; \
                 ALTER TABLE {database}.purchase CONVERT TO CHARACTER SET {purchase}"
            ))
            .await;
        let latin1 = [searches, purchase]
            .iter()
            .any(|charset| charset.starts_with("latin1"));
        all_100_compare_equal(&server, &database, latin1).await;
    }
}

async fn hold_for_tables_with_other_indexes(flavour: Flavour) {
    let server = flavour.start().await;
    let indexes = [
        "ADD INDEX by_user (id), ADD INDEX by_time (searched_at)",
        "ADD row_id BIGINT AUTO_INCREMENT PRIMARY KEY FIRST, ADD INDEX (id, searched_at DESC)",
        "ADD INDEX (category(10)), ADD INDEX (id, category)",
    ];
    for (n, searches) in indexes.into_iter().enumerate() {
        let database = format!("reckon_{n}");
        println!("{flavour:?} {searches}");
        let purchase = searches
            .replace("searched_at", "purchased_at")
            .replace("category", "product_category");
        OriginalTables::default().create(&server, &database).await;
        server
            .execute(format!(
                "ALTER TABLE {database}.searches {searches}; ALTER TABLE {database}.purchase {purchase}"
            ))
            .await;
        all_100_compare_equal(&server, &database, false).await;
    }
}

on_each_flavour!(
    hold_for_every_shape_of_the_original_tables,
    hold_for_two_tables_that_differ_in_charset_and_collation,
    hold_for_tables_with_other_indexes,
);
