//! A model that is worse than the current one is not published.

use super::place::{Place, USERS};
use super::{model, on_each_place, train};
use jiff::Timestamp;
use reckon_api::model::Day;
use reckon_api::trained::{Category, TrainedModel};

async fn a_worse_model_is_not_published_unless_it_is_forced(place: Place) {
    place.fill().await;
    // In the newest 14 days, all users buy categories that were never bought before. Only the current model contains
    // them.
    let rows: Vec<_> = (1..=USERS)
        .flat_map(|user| (1..14).map(move |ago| (user, ago, format!("new {}", ago % 7))))
        .collect();
    place.insert("purchase", &rows).await;
    let shares: Vec<String> = (0..7).map(|number| format!("new {number}")).collect();
    let shares: Vec<(&str, f64)> = shares.iter().map(|name| (name.as_str(), 0.9)).collect();
    let in_force = model(1, &shares);
    place.publish("in force", &in_force.document()).await;

    let ran = train(&place, &[]).await;
    assert!(ran.succeeded, "{ran:#?}");
    let line = ran.line(
        "model not published: it is worse than the one in force on the newest 14 days; --no-gate publishes it anyway",
    );
    println!("{line}");
    assert_eq!(line["users"], USERS, "{line}");
    assert!(
        line["ndcg_in_force"].as_f64() > line["ndcg_new"].as_f64(),
        "{line}"
    );
    assert!(line["difference_high"].as_f64() < Some(0.0), "{line}");
    // The current model stays, with its own figures. Those of the rejected model are not published.
    ran.line("the model in force is published again with newer figures");
    let published = place.published().await;
    assert_eq!(published.len(), 1);
    let kept = TrainedModel::parse(&published[0]).unwrap();
    assert_eq!(kept.categories(), in_force.categories());
    assert_eq!(kept.created(), in_force.created());
    let quality = kept.quality().unwrap();
    let ndcg = quality.recommended.next_basket.ndcg;
    assert!(ndcg > quality.recommended.classic.ndcg + 0.1, "{quality:?}");
    assert!(
        (ndcg - line["ndcg_in_force"].as_f64().unwrap()).abs() < 1e-9,
        "{quality:?}"
    );

    let forced = train(&place, &["--no-gate"]).await;
    forced.line("not compared with the model in force");
    let versions = [kept.version().to_owned(), forced.version()];
    assert_eq!(place.versions().await, versions);
    let forced = place.published().await.pop().unwrap();
    let forced = TrainedModel::parse(&forced).unwrap();
    let quality = forced.quality().unwrap();
    assert!(
        quality.recommended.next_basket.ndcg < ndcg - 0.1,
        "{quality:?}"
    );
}

async fn a_model_in_force_that_was_trained_on_the_newest_days_keeps_its_figures(place: Place) {
    place.fill().await;
    let rows: Vec<_> = (1..=USERS)
        .flat_map(|user| (1..14).map(move |ago| (user, ago, format!("new {}", ago % 7))))
        .collect();
    place.insert("purchase", &rows).await;
    let categories = (0..7).map(|number| Category {
        name: format!("new {number}").into(),
        share: 0.9,
        take_up: 0.0,
        related: Vec::new(),
    });
    let today = Timestamp::now().as_second() / 86_400 + 719_528;
    let as_of = Day(i32::try_from(today).unwrap());
    let in_force = TrainedModel::new(1, as_of, (10, 100), categories.collect()).unwrap();
    place.publish("in force", &in_force.document()).await;
    let ran = train(&place, &[]).await;
    assert!(ran.succeeded, "{ran:#?}");
    ran.line("quality not measured: the model in force was trained on some of the newest 14 days");
    assert_eq!(place.published().await, [in_force.document()]);
}

async fn too_few_users_for_a_comparison_are_reported_and_the_model_is_published(place: Place) {
    place.make_tables().await;
    let rows: Vec<_> = (1..60).map(|ago| (1, ago, "milk".to_owned())).collect();
    place.insert("purchase", &rows).await;
    place
        .publish("in force", &model(1, &[("milk", 0.9)]).document())
        .await;
    let ran = train(&place, &[]).await;
    ran.line(
        "too few users with purchases in the newest 14 days to compare with the model in force",
    );
    assert_eq!(place.versions().await[1..], [ran.version()]);
}

on_each_place!(
    a_worse_model_is_not_published_unless_it_is_forced,
    a_model_in_force_that_was_trained_on_the_newest_days_keeps_its_figures,
    too_few_users_for_a_comparison_are_reported_and_the_model_is_published,
);
