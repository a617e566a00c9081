//! A trained model is used, and later its successor.

use super::place::{Place, USERS};
use super::{Serving, TIMEOUT, model, on_each_place, train};
use crate::harness::eventually::eventually;
use reckon_contract::Tuning;
use reckon_contract::tuning::{Algorithm, Recommendation};

async fn a_trained_model_is_served_under_its_version(place: Place) {
    place.fill().await;
    let ran = train(&place, &[]).await;
    println!("{:#?}", ran.lines);
    let version = ran.version();
    let line = ran.line("model published");
    let rows = u64::try_from(USERS * 33 * 2 + 1).unwrap();
    assert_eq!(line["rows"], rows, "{line}");
    assert_eq!(line["users"], USERS, "{line}");
    assert_eq!(line["categories"], 5, "{line}");
    assert!(line["peak_memory_bytes"].as_u64() > Some(1 << 20), "{line}");

    let serving = Serving::start(&place, &[]).await;
    // The first look is right after the first probe.
    eventually(TIMEOUT, async || {
        let version = serving
            .api
            .exposition()
            .await
            .single("reckon_model_categories");
        (version == Some(5.0)).then_some(())
    })
    .await;
    assert_eq!(serving.version(1).await, Some(version.clone()));
    // A user without rows gets popular categories.
    let answer = serving.api.client().get("/recommend/999999").await.json();
    assert_eq!(
        answer["recommendations"]["recommended_categories"][0], "milk",
        "{answer}"
    );
    assert_eq!(answer["metadata"]["model"], version, "{answer}");
}

async fn the_newest_three_models_are_kept(place: Place) {
    place.fill().await;
    let mut versions = Vec::new();
    for number in 0..5 {
        let ran = train(&place, &[]).await;
        versions.push(ran.version());
        let compared = if number == 0 {
            "no model in force to compare with"
        } else {
            "the new model is not worse than the one in force"
        };
        ran.line(compared);
    }
    assert_eq!(place.versions().await, versions[2..]);
}

async fn a_new_model_replaces_the_old_one_while_requests_are_served(place: Place) {
    place.fill().await;
    let tuning = Tuning {
        recommendation: Recommendation {
            algorithm: Algorithm::NextBasket,
            ..Recommendation::default()
        },
        ..Tuning::default()
    };
    let service = place.service(tuning);
    for (created, category) in [(1, "toys"), (2, "books")] {
        let new = model(created, &[(category, 0.9)]);
        place
            .publish(&format!("digest {created}"), &new.document())
            .await;
        eventually(TIMEOUT, async || {
            // Requests a probe.
            service.get("/health").await;
            let answer = service.get("/recommend/999999").await.json();
            if answer["metadata"]["model"] != new.version() {
                return Err(answer);
            }
            // The answer of the other model is not served any more, although it was cached.
            assert_eq!(
                answer["recommendations"]["recommended_categories"][0],
                category
            );
            Ok(())
        })
        .await;
    }
    service.recommender.close().await;
}

on_each_place!(
    a_trained_model_is_served_under_its_version,
    the_newest_three_models_are_kept,
    a_new_model_replaces_the_old_one_while_requests_are_served,
);
