//! The database rejects a row after others were written, because a constraint was added after the check: the message,
//! and that it is true.

use super::{Target, error_line, purchases, scratch};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, SqlServer};
use sqlx::Executor;

const ROWS: usize = 40_002;

/// Whether a session waits to create the trigger.
async fn waits(server: &SqlServer) -> bool {
    let waiting: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE info LIKE 'CREATE TRIGGER%' AND state LIKE 'Waiting for table metadata lock%'",
    )
    .fetch_one(&mut server.admin().await)
    .await
    .unwrap();
    waiting > 0
}

async fn a_permanent_error_is_reported_with_the_steps_to_resume(flavour: Flavour) {
    let server = flavour.start().await;
    server
        .execute(
            "USE reckon; CREATE TABLE purchase \
                 (id BIGINT, purchased_at DATETIME, product_category VARCHAR(60), product_name VARCHAR(60))",
        )
        .await;
    let target = Target::Server(&server, "reckon");
    let directory = scratch();
    let file = purchases(&directory, ROWS, "1,2025-03-01 00:00:00,toys,a");
    let mut import = target.import(&["--purchases", &file]).spawn();
    target.half_way(&import, 0).await;
    // It waits for the open transaction, and the next transaction waits for it.
    let mut admin = server.admin().await;
    let trigger = tokio::spawn(async move {
        let trigger = "CREATE TRIGGER reckon.no_toys BEFORE INSERT ON reckon.purchase FOR EACH ROW \
            IF NEW.product_category = 'toys' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no toys here'; END IF";
        admin.execute(sqlx::raw_sql(trigger)).await.unwrap();
    });
    eventually(super::SOON, async || {
        trigger.is_finished() || waits(&server).await
    })
    .await;
    import.process.thaw();
    let exit = import.process.exit(super::SOON).await;
    trigger.await.unwrap();
    let said = import.process.logs().join("\n");
    println!("{flavour:?}: {}", error_line(&said));
    assert!(!exit.status.success(), "{said}");
    for words in [
        "error: failed to write rows 40,001 to 40,002 of purchase; none of these is in: ",
        ": error returned from database: 1644 (45000): no toys here; purchase: 40,000 of 40,002 rows are in; the same command fails again until the cause is corrected in the database; ",
        "run \"DELETE FROM reckon_import WHERE table_name = 'purchase'\", remove the first 40,000 rows from the file and use --append",
    ] {
        assert!(said.contains(words), "no {words:?}: {said}");
    }
    assert!(!said.contains("rerun"), "{said}");
    assert_eq!(target.count("purchase").await, 40_000);

    // As the message says, the same command fails again, and both of its solutions work.
    let said = target.fail(&["--purchases", &file]).await;
    assert!(said.contains("no toys here"), "{said}");
    assert_eq!(target.count("purchase").await, 40_000);
    let kept: Vec<String> = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let rest = format!(
        "{}\n{}\n1,2025-03-01 00:00:00,books,a\n",
        kept[0], kept[40_001]
    );
    let corrected = directory.path().join("rest.csv").display().to_string();
    std::fs::write(&corrected, rest).unwrap();
    let arguments = ["--purchases", corrected.as_str(), "--append"];
    let said = target.fail(&arguments).await;
    assert!(
        said.contains("the import of another file into purchase was interrupted"),
        "{said}"
    );
    server
        .execute("DELETE FROM reckon.reckon_import WHERE table_name = 'purchase'")
        .await;
    target.succeed(&arguments).await;
    assert_eq!(target.count("purchase").await, ROWS);
}

on_each_flavour!(a_permanent_error_is_reported_with_the_steps_to_resume);
