//! An experiment: each group gets the answers of a service that has only its algorithm, also with a shared Redis. Each
//! answer is counted as an exposure.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::next_basket::model;
use crate::training::place::Place;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const USERS: i64 = 60;

/// The newest 100 purchases of a user give other categories than the newest 500, and some rows have no category.
async fn fill(place: &Place) {
    place.make_tables().await;
    let mut rows = Vec::new();
    for user in 1..=USERS {
        for number in 0..250 {
            let category = match number {
                _ if number % 7 == 3 => String::new(),
                0..100 => format!("recent {}", (user + number) % 3),
                _ => format!("old {}", (user + number) % 4),
            };
            rows.push((user, i32::try_from(number + 1).unwrap(), category));
        }
    }
    place.insert("purchase", &rows).await;
    place.publish("model", &model().document()).await;
}

/// A process with these settings. If it follows a model, the model is in use.
struct Serving {
    api: ApiProcess,
    _directory: TempDir,
}

impl Serving {
    async fn start(place: &Place, redis: Option<&RedisServer>, recommendation: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tuning.yaml");
        let tuning = format!(
            "recommendation: {recommendation}\ncache: {{shared: {{timeoutMilliseconds: 900}}}}\n"
        );
        std::fs::write(&file, tuning).unwrap();
        let mut command = ApiCommand::new()
            .envs(place.environment())
            .env("RECKON_TUNING", &file);
        if let Some(redis) = redis {
            command = command.envs(redis.environment());
        }
        let api = command.spawn();
        api.ready().await;
        let client = api.client();
        eventually(SOON, async || {
            let health = client.get("/health").await.json();
            let is_loaded =
                health["model"].is_null() || health["model"]["version"] == model().version();
            let is_connected = redis.is_none() || health["redis"] == "connected";
            (is_loaded && is_connected).then_some(()).ok_or(health)
        })
        .await;
        Self {
            api,
            _directory: directory,
        }
    }

    /// A user's answer, and where it came from.
    async fn answer(&self, user: i64) -> (Value, String) {
        let answer = self.api.client().get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let source = answer.header("x-cache").unwrap().to_owned();
        (answer.json(), source)
    }

    async fn exposures(&self, algorithm: &str, group: &str) -> f64 {
        let labels = [("algorithm", algorithm), ("group", group)];
        let figures = self.api.exposition().await;
        figures.sum_of("reckon_recommendation_exposures", &labels)
    }
}

const CLASSIC: &str = "{algorithm: Classic}";
const NEXT_BASKET: &str = "{algorithm: NextBasket}";
const HALF: &str = "{algorithm: Classic, experiment: {algorithm: NextBasket, percent: 50}}";

/// Of the users 1 to 60, those whose bucket is below 50: `printf experiment:USER | sha256sum`.
const MEMBERS: usize = 29;

fn is_in_experiment(answer: &Value) -> bool {
    answer["metadata"]["algorithm"] == "NextBasket"
}

#[tokio::test]
async fn each_group_gets_the_answers_of_its_algorithm_from_separate_entries_in_redis() {
    let (place, redis) = (Place::sqlite().await, RedisServer::running().await);
    fill(&place).await;
    let classic = Serving::start(&place, Some(&redis), CLASSIC).await;
    let next_basket = Serving::start(&place, Some(&redis), NEXT_BASKET).await;
    let half = Serving::start(&place, Some(&redis), HALF).await;
    let other_name = HALF.replace("percent", "name: other, percent");
    let other = Serving::start(&place, Some(&redis), &other_name).await;
    // In turns, so that each process is the first one for some users.
    let mut answers = vec![Vec::new(); 4];
    let processes = [&classic, &next_basket, &half, &other];
    for user in 1..=USERS {
        for turn in 0..4 {
            let process = (usize::try_from(user).unwrap() + turn) % 4;
            let (answer, source) = processes[process].answer(user).await;
            assert_eq!(source, "MISS", "{user}: another process's entry was used");
            answers[process].push(answer);
        }
    }
    let [classic_only, next_basket_only, of_half, of_other] = &answers[..] else {
        unreachable!("four processes")
    };
    for answers in [of_half, of_other] {
        for (place, answer) in answers.iter().enumerate() {
            let expected = if is_in_experiment(answer) {
                &next_basket_only[place]
            } else {
                &classic_only[place]
            };
            assert_eq!(answer, expected);
        }
    }
    // Classic counts its 100 newest rows, those without a category included.
    assert_eq!(classic_only[0]["metadata"]["purchase_count"], 100);
    assert_eq!(next_basket_only[0]["metadata"]["purchase_count"], 250);
    let members = of_half
        .iter()
        .filter(|answer| is_in_experiment(answer))
        .count();
    assert_eq!(members, MEMBERS);
    let differ = of_half
        .iter()
        .zip(of_other)
        .filter(|(half, other)| is_in_experiment(half) != is_in_experiment(other));
    assert!(differ.count() > 15, "another name selects other users");

    // A process of the same settings uses the entries.
    let twin = Serving::start(&place, Some(&redis), HALF).await;
    for user in 1..=USERS {
        let answer = twin.answer(user).await;
        assert_eq!(
            answer,
            (
                of_half[usize::try_from(user).unwrap() - 1].clone(),
                "HIT".to_owned()
            )
        );
    }
    for process in [&half, &twin] {
        let exposed = process.exposures("NextBasket", "experiment").await;
        assert!(
            (exposed - f64::from(u32::try_from(MEMBERS).unwrap())).abs() < 0.5,
            "{exposed}"
        );
    }
    assert!(
        !classic
            .api
            .ops()
            .get("/metrics")
            .await
            .body
            .contains("exposures")
    );
}

#[tokio::test]
async fn exposures_add_up_to_the_users_that_were_answered() {
    let place = Place::sqlite().await;
    fill(&place).await;
    let settings = HALF.replace("experiment:", "algorithmParameter: true, experiment:");
    let serving = Serving::start(&place, None, &settings).await;
    let client = serving.api.client();
    for user in [1, 2, 3, 3, 2, 1] {
        serving.answer(user).await;
    }
    let batch = client.get("/batch-recommend?user_ids=1,2,3,4,5,5").await;
    assert_eq!(batch.json()["successful"], 6);
    let explained = client.get("/recommend/6?explain=true").await.json();
    let plain = serving.answer(6).await.0;
    assert_eq!(explained["recommendations"], plain["recommendations"]);
    assert_eq!(explained["metadata"], plain["metadata"]);
    // A request with its own algorithm, and one without a user, are not exposures. Each algorithm uses its own number
    // of rows.
    for (algorithm, rows) in [("classic", 100), ("nextBasket", 250)] {
        let path = format!("/recommend/7?algorithm={algorithm}");
        let chosen = client.get(&path).await.json();
        assert_eq!(chosen["metadata"]["purchase_count"], rows, "{chosen}");
    }
    let session = client
        .send(http::Method::POST, "/recommend", json!({}).to_string())
        .await;
    assert_eq!(
        session.unwrap().json()["metadata"]["algorithm"],
        Value::Null
    );
    assert_eq!(client.get("/recommend/x").await.status, 422);
    let control = serving.exposures("Classic", "control").await;
    let experiment = serving.exposures("NextBasket", "experiment").await;
    // Six single answers, five distinct users of a batch, one explained and one more.
    assert!(
        (control + experiment - 13.0).abs() < 0.5,
        "{control} {experiment}"
    );
    let all = serving
        .api
        .exposition()
        .await
        .sum("reckon_recommendations", None);
    assert!(
        (all - 12.0).abs() < 0.5,
        "those with choices are not among these: {all}"
    );
    assert!(control > 0.5 && experiment > 0.5, "{control} {experiment}");
}

/// The expression for a user's group in the documentation.
fn documented_group() -> String {
    let page = include_str!("../../../docs/recommendations.md");
    let (_, expression) = page.split_once("SELECT id, IF(").unwrap();
    let (expression, _) = expression.split_once(" < 10,").unwrap();
    expression.replace("autumn", "experiment")
}

/// For each user in the order of the ids, whether the documented statement finds the user in the experiment.
async fn members_by_sql(place: &Place) -> Vec<bool> {
    let bucket = documented_group();
    let statement = format!(
        "SELECT {bucket} < 50 FROM (SELECT DISTINCT id FROM reckon.purchase) AS users ORDER BY id"
    );
    let select = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(statement));
    let rows = select.fetch_all(&mut place.server().admin().await).await;
    rows.unwrap().into_iter().map(|is_in| is_in == 1).collect()
}

/// The newest 100 of 500 rows are those that a statement with the limit 100 returns.
async fn classic_is_the_same_beside_an_experiment(place: Place) {
    fill(&place).await;
    let classic = Serving::start(&place, None, CLASSIC).await;
    let half = Serving::start(&place, None, HALF).await;
    let mut compared = 0;
    for (user, is_member) in (1..=USERS).zip(members_by_sql(&place).await) {
        let answer = half.answer(user).await.0;
        assert_eq!(is_in_experiment(&answer), is_member, "{user}");
        if !is_in_experiment(&answer) {
            assert_eq!(answer, classic.answer(user).await.0);
            compared += 1;
        }
    }
    assert_eq!(compared, usize::try_from(USERS).unwrap() - MEMBERS);
}

#[tokio::test]
async fn classic_is_the_same_beside_an_experiment_on_mariadb() {
    classic_is_the_same_beside_an_experiment(Place::mariadb().await).await;
}

#[tokio::test]
async fn classic_is_the_same_beside_an_experiment_on_mysql9() {
    classic_is_the_same_beside_an_experiment(Place::mysql9().await).await;
}
