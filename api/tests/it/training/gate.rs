//! A model that is worse than the one in force is not published.

use super::place::{Place, USERS};
use super::{model, on_each_place, train};

async fn a_worse_model_is_not_published_unless_it_is_forced(place: Place) {
    place.fill().await;
    // In the newest 14 days all buy what nobody bought before: the model in force knew, the candidate cannot.
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
    assert_eq!(place.versions().await, [in_force.version()]);

    let forced = train(&place, &["--no-gate"]).await;
    forced.line("not compared with the model in force");
    let versions = [in_force.version().to_owned(), forced.version()];
    assert_eq!(place.versions().await, versions);
}

async fn too_few_users_for_a_judgement_are_said_and_the_model_is_published(place: Place) {
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
    too_few_users_for_a_judgement_are_said_and_the_model_is_published,
);
