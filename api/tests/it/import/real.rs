//! A year of real purchases as CSV files, whose import is killed in the middle and run again.

use super::{Target, scratch};
use crate::harness::sql_server::Flavour;
use crate::real_purchases::{assert_none_differs, place, script};
use std::time::Instant;

/// Number of purchases, from the documentation of the data.
const PURCHASES: usize = 1_469_307;
const REDEMPTIONS: usize = 2_102;

#[tokio::test]
async fn answers_are_correct_after_a_killed_import_of_real_purchases() {
    let directory = scratch();
    let file = |name: &str| directory.path().join(name).display().to_string();
    script("fill", &["--csv", directory.path().to_str().unwrap()]).await;
    let (searches, purchases) = (file("searches.csv"), file("purchase.csv"));
    let arguments = ["--searches", &searches, "--purchases", &purchases];

    let data = directory.path().join("reckon.db");
    let target = Target::File(data.clone());
    kill_and_run_again(&target, &arguments).await;
    assert_answers(&target, "--sqlite", data.to_str().unwrap()).await;

    let server = Flavour::MariaDb
        .start_with(&[
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=96M",
        ])
        .await;
    let target = Target::Server(&server, "reckon");
    kill_and_run_again(&target, &arguments).await;
    assert_answers(&target, "--mysql", &place(&server)).await;
}

async fn kill_and_run_again(target: &Target<'_>, arguments: &[&str]) {
    let mut import = target.import(arguments).spawn();
    let noted = target.half_way(&import, 100_000).await;
    import.process.kill();
    let began = Instant::now();
    let said = target.succeed(arguments).await;
    println!(
        "killed after {noted} rows, the rest in {:.1?}",
        began.elapsed()
    );
    assert!(said.contains("purchase.csv: resuming after the "), "{said}");
    assert_eq!(target.count("purchase").await, PURCHASES);
    assert_eq!(target.count("searches").await, REDEMPTIONS);
    assert!(!target.has_note().await);
}

async fn assert_answers(target: &Target<'_>, flag: &str, place: &str) {
    assert_none_differs(|| target.command(), flag, place).await;
}
