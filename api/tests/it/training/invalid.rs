//! Documents in the table that are not models.

use super::place::Place;
use super::{Serving, TIMEOUT, line, model, on_each_place, train};
use crate::harness::eventually::eventually;
use reckon_api::trained::MAX_BYTES;
use reckon_contract::Tuning;
use reckon_contract::tuning::{Algorithm, Recommendation};
use serde_json::json;

/// Damaged, truncated, of a later format, too long, and empty.
fn invalid_documents() -> Vec<Vec<u8>> {
    let document = model(7, &[("books", 0.5)]).document();
    let mut damaged = document.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let later = [b"reckon-model 2", &document["reckon-model 1".len()..]].concat();
    let long = [document.clone(), vec![b' '; MAX_BYTES]].concat();
    vec![damaged, document[..40].to_vec(), later, long, Vec::new()]
}

async fn the_model_in_use_stays_and_each_invalid_one_is_counted(place: Place) {
    place.fill().await;
    let tuning = Tuning {
        recommendation: Recommendation {
            algorithm: Algorithm::NextBasket,
            ..Recommendation::default()
        },
        ..Tuning::default()
    };
    let service = place.service(tuning);
    let good = model(1, &[("toys", 0.9)]);
    place.publish("good", &good.document()).await;
    let invalid = || {
        let text = service.metrics.text();
        let count = text
            .lines()
            .find_map(|line| line.strip_prefix("reckon_model_reads_total{result=\"invalid\"} "));
        count.unwrap().parse::<u32>().unwrap()
    };
    for (number, document) in (0..).zip(invalid_documents()) {
        let known = async || {
            service.get("/health").await;
            service.metrics.models.get().map(|model| model.created())
        };
        eventually(TIMEOUT, async || (known().await == Some(1)).then_some(())).await;
        place.publish(&format!("poison {number}"), &document).await;
        eventually(TIMEOUT, async || {
            assert_eq!(known().await, Some(1));
            (invalid() > number).then_some(())
        })
        .await;
        // The document is not read repeatedly.
        for _ in 0..3 {
            known().await;
        }
        assert_eq!(invalid(), number + 1);
        let answer = service.get("/recommend/999999").await.json();
        assert_eq!(answer["metadata"]["model"], good.version(), "{answer}");
    }
    service.recommender.close().await;
}

async fn a_process_that_starts_with_an_invalid_document_logs_it_and_serves_without_a_model(
    place: Place,
) {
    place.fill().await;
    place
        .publish("poison", b"reckon-model 9 sha256:00\n{}")
        .await;
    let serving = Serving::start(&place, &[]).await;
    let logged = eventually(TIMEOUT, async || {
        line(
            &serving.api.process.logs(),
            "the published model is not used",
        )
    })
    .await;
    println!("{logged}");
    let problem = logged["problem"].as_str().unwrap();
    assert!(problem.contains("format \"9\""), "{problem}");
    let health = serving.api.client().get("/health").await.json();
    assert_eq!(health["model"], json!({"problem": problem}));
    assert_eq!(serving.version(1).await, None);
    let exposition = serving.api.exposition().await;
    let invalid = exposition.sum("reckon_model_reads", Some(("result", "invalid")));
    assert!((invalid - 1.0).abs() < f64::EPSILON, "{invalid}");
    // A training replaces it.
    let ran = train(&place, &[]).await;
    ran.line("the published model is invalid, so the new one is not compared with it");
    assert_eq!(place.published().await.len(), 2);
    let version = ran.version();
    let again = Serving::start(&place, &[]).await;
    eventually(TIMEOUT, async || {
        // Another user each time: answers are cached.
        let exposition = again.api.exposition().await;
        (exposition.single("reckon_model_categories") == Some(5.0)).then_some(())
    })
    .await;
    assert_eq!(again.version(2).await, Some(version));
}

on_each_place!(
    the_model_in_use_stays_and_each_invalid_one_is_counted,
    a_process_that_starts_with_an_invalid_document_logs_it_and_serves_without_a_model,
);
