//! The same id in two processes at the same moment.

use super::fixture::{Fixture, POOL, counts, purchase, search};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::sql_server::{Flavour, RECKON};
use serde_json::{Value, json};

async fn the_same_ids_at_the_same_moment_are_stored_once(flavour: Flavour) {
    let fixture = Fixture::on(flavour).await;
    fixture
        .server()
        .allow_connections(RECKON.name, 2 * POOL)
        .await;
    let (one, other) = tokio::join!(fixture.start(), fixture.start());
    let (ours, theirs) = (one.client(), other.client());
    let mut stored = [0, 0];
    for round in 0..200 {
        let event = |number: i64| {
            let id = format!("{round}-{number}");
            if number % 2 == 0 {
                search(&id, number)
            } else {
                purchase(&id, number)
            }
        };
        let mut events: Vec<Value> = (0..8).map(event).collect();
        let first = json!(events);
        // The second request has another order, and some other events.
        events.reverse();
        events[0] = event(8 + round);
        let second = json!(events);
        let (first, second) = tokio::join!(counts(&ours, &first), counts(&theirs, &second));
        assert_eq!(first[0] + second[0], 9, "{first:?} {second:?}");
        assert_eq!(first[1] + second[1], 7, "{first:?} {second:?}");
        stored[0] += first[0];
        stored[1] += second[0];
    }
    let (searches, purchases) = fixture.rows().await;
    println!(
        "{flavour:?}: stored by one process {}, by the other {}",
        stored[0], stored[1]
    );
    assert_eq!(searches + purchases, 200 * 9);
    for api in [&one, &other] {
        let figures = api.exposition().await;
        let refused = figures.sum(
            "reckon_store_errors",
            Some(("reason", "too many connections")),
        );
        assert!(refused.abs() < 0.1, "{refused}");
    }
}

on_each_flavour!(the_same_ids_at_the_same_moment_are_stored_once);
