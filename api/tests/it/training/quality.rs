//! The figures that are published with a model, and that instances export.

use super::place::{Place, USERS};
use super::{Serving, TIMEOUT, model, train};
use crate::harness::api_process::ApiCommand;
use crate::harness::eventually::eventually;
use reckon_api::trained::TrainedModel;
use reckon_harness::exposition::Exposition;
use serde_json::Value;

/// Users with habits who, in the newest 14 days, buy categories that were never bought before.
async fn with_news(place: &Place) {
    place.fill().await;
    let rows: Vec<_> = (1..=USERS)
        .flat_map(|user| (1..14).map(move |ago| (user, ago, format!("new {}", ago % 7))))
        .collect();
    place.insert("purchase", &rows).await;
}

fn figure(figures: &Exposition, name: &str, algorithm: &str) -> f64 {
    let labels = [("list", "recommended"), ("algorithm", algorithm)];
    figures.sum_of(&format!("reckon_quality_{name}"), &labels)
}

fn close(value: f64, expected: f64) {
    assert!((value - expected).abs() < 1e-6, "{value}, not {expected}");
}

#[tokio::test]
async fn the_evaluated_model_is_not_trained_on_the_days_of_its_evaluation() {
    let place = Place::sqlite().await;
    with_news(&place).await;
    let ran = train(&place, &[]).await;
    let version = ran.version();
    let lines = ran
        .lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.filter(|line| line["message"] == "quality").collect();
    println!("{lines:#?}");
    assert_eq!(lines.len(), 4);

    // Nine categories were bought. Only two of them were bought before. These are first, and the only hits.
    let discount = |rank: u32| 1.0 / f64::from(rank + 1).log2();
    let ideal: f64 = (1..=9).map(discount).sum();
    let expected = (discount(1) + discount(2)) / ideal;
    let published = place.published().await;
    let published = TrainedModel::parse(&published[0]).unwrap();
    let quality = *published.quality().unwrap();
    assert_eq!(quality.cut_off.0 + 14, published.as_of().0);
    let list = quality.recommended;
    assert_eq!(list.users, u64::try_from(USERS).unwrap());
    for (algorithm, figures) in list.algorithms() {
        close(figures.ndcg, expected);
        close(figures.ndcg_half_width, 0.0);
        close(figures.hit_rate, 1.0);
        // Milk and four habits, of these and seven new ones.
        close(figures.coverage, 5.0 / 12.0);
        let is_this =
            |line: &&Value| line["list"] == "recommended" && line["algorithm"] == algorithm.name();
        let line = lines.iter().find(is_this).unwrap();
        assert_eq!(line["users"], USERS);
        close(line["ndcg"].as_f64().unwrap(), expected);
    }
    let explore = quality.explore.unwrap();
    assert_eq!(explore.users, list.users);
    close(explore.next_basket.ndcg + explore.next_basket.hit_rate, 0.0);
    // The published model was trained on these days too.
    assert!(published.position("new 1").is_some());

    let serving = Serving::start(&place, &[]).await;
    let exposition = async || serving.api.exposition().await;
    eventually(TIMEOUT, async || {
        let created = exposition()
            .await
            .single("reckon_model_created_timestamp_seconds");
        (created > Some(0.0)).then_some(())
    })
    .await;
    assert_eq!(serving.version(1).await, Some(version));
    let figures = exposition().await;
    for algorithm in ["Classic", "NextBasket"] {
        close(figure(&figures, "ndcg", algorithm), expected);
        close(figure(&figures, "ndcg_half_width", algorithm), 0.0);
        close(figure(&figures, "hit_rate", algorithm), 1.0);
        close(figure(&figures, "coverage", algorithm), 5.0 / 12.0);
    }
    let users = figures.sum(
        "reckon_quality_evaluated_users",
        Some(("list", "recommended")),
    );
    close(users, 80.0);
    let cut_off = figures
        .single("reckon_quality_cut_off_timestamp_seconds")
        .unwrap();
    close(cut_off, f64::from(quality.cut_off.0 - 719_528) * 86_400.0);
}

/// The command that other programs are compared with measures the same.
#[tokio::test]
async fn the_figures_equal_those_of_evaluate_at_the_same_cut_off() {
    let place = Place::sqlite().await;
    place.fill().await;
    // Some users buy something new that others bought before.
    let mut rows = Vec::new();
    for user in 1..=USERS {
        rows.push((user, 60, format!("other {}", user % 12)));
        rows.push((user, 3, format!("other {}", user % 5)));
        rows.push((user, 95, format!("old {}", user % 7)));
        rows.push((user, 4, format!("old {}", user % 9)));
    }
    place.insert("purchase", &rows).await;
    let ran = train(&place, &[]).await;
    assert!(ran.succeeded, "{ran:#?}");
    let published = place.published().await;
    let quality = *TrainedModel::parse(&published[0])
        .unwrap()
        .quality()
        .unwrap();
    let explore = quality.explore.unwrap();
    println!("{quality:#?}");
    let recommended = quality.recommended;
    let directory = tempfile::tempdir().unwrap();
    let expected = directory.path().join("expected.csv");
    let csv = format!(
        "list,policy,rows,ndcg\nbasket,classic,100,{}\nbasket,nextBasket,500,{}\nexplore-not-bought,classic,100,{}\nexplore-not-bought,nextBasket,500,{}\n",
        recommended.classic.ndcg,
        recommended.next_basket.ndcg,
        explore.classic.ndcg,
        explore.next_basket.ndcg
    );
    std::fs::write(&expected, &csv).unwrap();
    let cut_off =
        jiff::Timestamp::from_second(i64::from(quality.cut_off.0 - 719_528) * 86_400).unwrap();
    let cut_off = cut_off.strftime("%Y-%m-%d").to_string();
    let arguments = [
        "evaluate",
        "--cut-offs",
        &cut_off,
        "--check",
        expected.to_str().unwrap(),
    ];
    let command = ApiCommand::new().args(arguments).envs(place.environment());
    let ran = super::end(command.spawn()).await;
    assert!(ran.succeeded, "{csv}{ran:#?}");
    assert!(
        ran.lines
            .iter()
            .any(|line| line.starts_with("4 figures are within")),
        "{ran:#?}"
    );
}

#[tokio::test]
async fn figures_are_absent_with_a_model_that_has_none() {
    let place = Place::sqlite().await;
    with_news(&place).await;
    train(&place, &[]).await.version();
    let tuning =
        serde_json::from_str(r#"{"recommendation": {"algorithm": "NextBasket"}}"#).unwrap();
    let service = place.service(tuning);
    let ndcg = || {
        let figures = Exposition::read(&service.metrics.text());
        figures.sum("reckon_quality_ndcg", None)
    };
    eventually(TIMEOUT, async || {
        service.get("/health").await;
        (ndcg() > 0.5).then_some(())
    })
    .await;
    place
        .publish("by hand", &model(7, &[("milk", 0.5)]).document())
        .await;
    eventually(TIMEOUT, async || {
        service.get("/health").await;
        let figures = Exposition::read(&service.metrics.text());
        let created = figures.single("reckon_model_created_timestamp_seconds");
        (created == Some(7.0)).then_some(())
    })
    .await;
    let figures = Exposition::read(&service.metrics.text());
    close(ndcg(), 0.0);
    assert_eq!(
        figures.single("reckon_quality_cut_off_timestamp_seconds"),
        None
    );
    service.recommender.close().await;
}
