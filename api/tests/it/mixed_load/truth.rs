//! The true data of each user at each moment, and therefore the allowed answers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use reckon_api::model::Day;
use reckon_api::trained::{Category, TrainedModel};
use serde_json::{Value, json};

use super::faults::Faults;
use crate::harness::original_tables::History;

/// Users that have rows: from 1 on.
pub const USERS: i64 = 200;
/// Users whose rows change all the time. The answers of the others expire.
pub const CHANGING: i64 = 150;

/// Time after an invalidation's answer after which no other process may give an older answer.
const BOUND: Duration = Duration::from_secs(1);
/// The same while that process is cut off from Redis.
const DETACHED_BOUND: Duration = Duration::from_secs(10);

/// Every user's versions, of which the database holds the newest whose writing has ended, and the models that are published.
pub struct Truth {
    users: Vec<Mutex<Versions>>,
    models: [TrainedModel; 2],
    /// Answers that name each model.
    by_model: [AtomicU64; 2],
}

#[derive(Clone, Default)]
struct Versions {
    /// The newest version whose writing has begun.
    begun: u64,
    /// The versions whose invalidation a process has confirmed, with the time, by process.
    confirmed: [Vec<(u64, Instant)>; 2],
}

/// The lag of an outdated answer: the time from an invalidation that another process has confirmed to the beginning of
/// the request that still got an older answer.
pub type Lag = Option<Duration>;

impl Truth {
    /// The first version of every user is 0.
    pub fn new() -> Self {
        let users = 0..=USERS;
        Self {
            users: users.map(|_| Mutex::default()).collect(),
            models: MODELS.map(model),
            by_model: Default::default(),
        }
    }

    /// The models, which are published in turn.
    pub fn models(&self) -> &[TrainedModel; 2] {
        &self.models
    }

    /// How many answers named each model.
    pub fn answers_by_model(&self) -> [u64; 2] {
        self.by_model.each_ref().map(|count| count.load(Relaxed))
    }

    /// The number of the model that an answer names.
    fn named(&self, answer: &Value) -> Option<usize> {
        let version = answer["metadata"]["model"].as_str()?;
        let mut models = self.models.iter();
        models.position(|model| model.version() == version)
    }

    fn of(&self, user: i64) -> MutexGuard<'_, Versions> {
        self.users[usize::try_from(user).unwrap()].lock().unwrap()
    }

    /// The version that is written from now on.
    pub fn begin(&self, user: i64) -> u64 {
        let mut versions = self.of(user);
        versions.begun += 1;
        versions.begun
    }

    /// The version has been written, and then this process has answered its invalidation with 200.
    pub fn confirm(&self, process: usize, user: i64, version: u64) {
        self.of(user).confirmed[process].push((version, Instant::now()));
    }

    /// Whether a process may give this answer to a request that began at that time and was just answered.
    pub fn judge(
        &self,
        process: usize,
        user: i64,
        began: Instant,
        answer: &Value,
        faults: &Faults,
    ) -> Result<Lag, String> {
        let Some(number) = self.named(answer) else {
            return Err(format!("user {user}: no such model: {answer}"));
        };
        let model = (MODELS[number], &self.models[number]);
        self.by_model[number].fetch_add(1, Relaxed);
        if !(1..=USERS).contains(&user) {
            let right = *answer == without_rows(user, model);
            return right
                .then_some(None)
                .ok_or_else(|| format!("user {user} has no rows: {answer}"));
        }
        let said = answer["recommendations"]["recommended_categories"][1].as_str();
        let said = said.and_then(|category| category.rsplit_once(" version ")?.1.parse().ok());
        let Some(said) = said.filter(|version| *answer == with_version(user, *version, model))
        else {
            return Err(format!("user {user} never was so: {answer}"));
        };
        let versions = self.of(user).clone();
        if said > versions.begun {
            return Err(format!("user {user} is not at {said} yet"));
        }
        let missed = |by: usize| {
            let newer = versions.confirmed[by]
                .iter()
                .filter(|(version, _)| *version > said);
            newer.map(|(_, at)| *at).find(|at| *at <= began)
        };
        if let Some(at) = missed(process) {
            return Err(format!(
                "user {user}: {said} at {process}, {:?} after it confirmed a newer one",
                began - at
            ));
        }
        let Some(at) = missed(1 - process) else {
            return Ok(None);
        };
        let lag = began - at;
        let cut_off =
            faults.redis[process].touch(at.checked_sub(BOUND).unwrap_or(at), began, BOUND * 3);
        let bound = if cut_off { DETACHED_BOUND } else { BOUND };
        if lag > bound {
            return Err(format!(
                "user {user}: {said} at {process}, {lag:?} after the other confirmed a newer one ({bound:?} are allowed)"
            ));
        }
        Ok(Some(lag))
    }
}

/// The category that a user's searches have in a version.
pub fn category(user: i64, version: u64) -> String {
    format!("liked by {user} version {version}")
}

/// A user's rows in the first version.
pub fn history(user: i64) -> History {
    let (liked, tried) = (category(user, 0), format!("tried by {user}"));
    History::newest_first(user, &[liked.as_str(), &liked], &[tried.as_str()])
}

/// The names of the models. Their categories contain the name too, so that an answer which mixes models is detected.
const MODELS: [&str; 2] = ["one", "two"];

/// A model with its own categories: one that half of all baskets contain, and one that few baskets contain.
fn model(name: &'static str) -> TrainedModel {
    let category = |name: String, share: f64| Category {
        name: name.into(),
        share,
        take_up: 0.0,
        related: Vec::new(),
    };
    let categories = vec![
        category(format!("popular of {name}"), 0.5),
        category(format!("rare of {name}"), 0.0625),
    ];
    // 2026-01-31.
    TrainedModel::new(1_769_817_600, Day(740_012), (100, 1000), categories).unwrap()
}

/// The popular category's score is 6 x 0.5, that of each of the user's own is 1, that of the rare one 6 x 0.0625.
fn with_version(user: i64, version: u64, (name, model): (&str, &TrainedModel)) -> Value {
    let categories = [
        format!("popular of {name}"),
        category(user, version),
        format!("tried by {user}"),
        format!("rare of {name}"),
    ];
    json!({
        "user_id": user,
        "recommendations": {"weightage": 2.2, "search_weight": 2.1, "purchase_weight": 0.1,
            "recommended_categories": categories, "explore_categories": []},
        "metadata": metadata((2, 1), model),
    })
}

fn without_rows(user: i64, (name, model): (&str, &TrainedModel)) -> Value {
    json!({
        "user_id": user,
        "recommendations": {"weightage": 0.0, "search_weight": 0.0, "purchase_weight": 0.0,
            "recommended_categories": [format!("popular of {name}"), format!("rare of {name}")], "explore_categories": []},
        "metadata": metadata((0, 0), model),
        "message": "No data found for this user: these categories are popular",
    })
}

fn metadata((searches, purchases): (u32, u32), model: &TrainedModel) -> Value {
    json!({
        "search_count": searches, "purchase_count": purchases, "algorithm": "NextBasket",
        "model": model.version(), "generated_at": "2026-01-31T00:00:00Z",
    })
}
