//! The instructions of the hot paths, counted by Valgrind. Each case repeats its work, so that effects of hash seeds,
//! of the clock and of the allocator's state average out. `../../check` compares the counts with those in
//! `counts.json`.

#![expect(missing_docs, reason = "the macros create public items")]

mod connection;
mod rows;
mod service;

use bytes::Bytes;
use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use reckon_api::fuzzing::{add_row, decode, encode};
use reckon_api::model::{History, UserId};
use reckon_api::scoring::{Selection, recommend};
use reckon_api::trained::TrainedModel;
use reckon_contract::tuning::{Algorithm, Recommendation};
use service::{Hits, Requests};
use std::hint::black_box;
use std::time::Duration;

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Repetitions of a case's work. `check` divides by it.
const REPETITIONS: usize = 500;

// From the parsed head of a request to its response: the edge, the router, the handler and the memory cache.
#[library_benchmark]
#[bench::one_user(Hits::of(Requests::One))]
#[bench::batch_of_20(Hits::of(Requests::BatchOf20))]
fn memory_hit(mut hits: Hits) -> Hits {
    hits.answer_all();
    hits
}

// From the bytes of a request to the bytes of its response: the above, and HTTP/1.1.
#[library_benchmark]
#[bench::one_user(Hits::of(Requests::One))]
fn memory_hit_over_a_connection(hits: Hits) -> Hits {
    hits.answer_over_a_connection();
    hits
}

fn settings(algorithm: Algorithm) -> (History, TrainedModel, Recommendation) {
    let settings = Recommendation {
        algorithm,
        ..Recommendation::default()
    };
    (rows::history(), rows::model(), settings)
}

// Ranks the categories of a user with 100 rows in each table.
#[library_benchmark]
#[bench::classic(settings(Algorithm::Classic))]
#[bench::next_basket(settings(Algorithm::NextBasket))]
fn score_200_rows(
    user: (History, TrainedModel, Recommendation),
) -> (History, TrainedModel, Recommendation) {
    let (history, model, settings) = &user;
    let selection = Selection::default();
    for _ in 0..REPETITIONS {
        black_box(recommend(
            black_box(history),
            Some(model),
            settings,
            &selection,
        ));
    }
    user
}

// Adds the rows of a statement for 8 users, 200 for each, to the users' histories.
#[library_benchmark]
#[bench::of_200_rows(rows::statement())]
fn split_8_users(rows: Vec<rows::Row>) -> Vec<rows::Row> {
    for _ in 0..REPETITIONS {
        let mut histories = vec![History::default(); rows::USERS];
        for row in black_box(&rows) {
            let category = row.category.as_deref().map(str::as_bytes);
            // The rows are those of the statement's branches.
            add_row(row.branch, category, row.day, &mut histories).ok();
        }
        black_box(histories);
    }
    rows
}

const EPOCH: &str = "0123456789abcdef";

fn entry() -> (UserId, Bytes) {
    let user = UserId::Integer(123);
    let (fresh, stale) = (Duration::from_mins(5), Duration::from_hours(1));
    let bytes = encode(&user, EPOCH, (rows::ANSWER.as_bytes(), 7), fresh, stale);
    (user, bytes.into())
}

// Checks an entry of the shared cache.
#[library_benchmark]
#[bench::of_300_bytes(entry())]
fn decode_redis_entry(entry: (UserId, Bytes)) -> (UserId, Bytes) {
    let (user, bytes) = &entry;
    for _ in 0..REPETITIONS {
        black_box(decode(
            black_box(bytes),
            user,
            EPOCH,
            Duration::from_mins(4),
        ))
        .ok();
    }
    entry
}

library_benchmark_group!(
    name = hot_paths;
    benchmarks =
        memory_hit, memory_hit_over_a_connection, score_200_rows, split_8_users, decode_redis_entry
);

main!(
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = hot_paths
);
