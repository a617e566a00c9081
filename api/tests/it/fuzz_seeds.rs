//! The kept inputs of the fuzz targets, through the same functions (`fuzz/src`), so that a defect that was found once
//! is always detected.

use crate::fuzz::{entry, keys, request, rows, tuning};
use std::path::Path;

/// Runs `check` on each file in `fuzz/seeds/TARGET`.
fn replay(target: &str, check: fn(&[u8])) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut files: Vec<_> = std::fs::read_dir(seeds.join(target))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 10, "{target} has lost its seeds");
    for file in files {
        // Printed if the next input fails.
        println!("{}", file.display());
        check(&std::fs::read(&file).unwrap());
    }
}

#[test]
fn entries_of_the_shared_cache_are_read_back_unchanged_or_rejected() {
    replay("entry", entry::check);
}

#[test]
fn key_files_are_parsed_according_to_the_rules() {
    replay("keys", keys::check);
}

#[test]
fn requests_are_parsed_according_to_the_description() {
    replay("request", request::check);
}

#[test]
fn rows_of_csv_files_fit_their_table_and_read_back() {
    replay("rows", rows::check);
}

#[test]
fn tuning_files_are_accepted_according_to_the_schema() {
    replay("tuning", tuning::check);
}
