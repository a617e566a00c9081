//! The JSON of one user's recommendation: built once, and cached as bytes.

use super::explanation::Explanation;
use crate::model::{History, UserId};
use crate::scoring::{Recommendations, Scored};
use crate::trained::TrainedModel;
use bytes::Bytes;
use jiff::Timestamp;
use reckon_contract::tuning::Algorithm;
use serde::Serialize;
use utoipa::ToSchema;

/// Room for most answers, so that the buffer does not grow while an answer is written.
const TYPICAL_BYTES: usize = 1024;

/// One user's recommendation.
#[derive(Serialize, ToSchema)]
#[schema(as = Recommendation, example = json!({
    "user_id": 123,
    "recommendations": {
        "weightage": 14.2, "search_weight": 8.1, "purchase_weight": 6.1,
        "recommended_categories": ["books", "electronics"], "explore_categories": ["toys"]
    },
    "metadata": {"search_count": 6, "purchase_count": 3}
}))]
pub struct Answer<'a> {
    /// The user.
    user_id: &'a UserId,
    recommendations: Body<'a>,
    metadata: Metadata<'a>,
    /// Only if the request has `explain=true`: why each category is in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation<'a>>,
    /// Only for a user without any rows: says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// The recommended categories, and weights of the history.
#[derive(Serialize, ToSchema)]
#[schema(as = RecommendationBody)]
struct Body<'a> {
    /// Sum of the two weights, with one decimal.
    #[schema(minimum = 0)]
    weightage: f64,
    /// `(20(n-u)+u)/10` of n searches with a category, u of them distinct.
    #[schema(minimum = 0)]
    search_weight: f64,
    /// `(30(m-v)+v)/10` of m purchases with a category, v of them distinct.
    #[schema(minimum = 0)]
    purchase_weight: f64,
    /// Categories to recommend, best first: at most 10, or the `limit` of the request.
    #[schema(value_type = Vec<String>, max_items = 100)]
    recommended_categories: Vec<&'a str>,
    /// Other categories to explore, best first.
    #[schema(value_type = Vec<String>, max_items = 5)]
    explore_categories: Vec<&'a str>,
}

/// How many rows were read.
#[derive(Serialize, ToSchema)]
#[schema(as = RecommendationMetadata)]
struct Metadata<'a> {
    /// Rows of `searches` that were read, those without a category included.
    search_count: u32,
    /// Rows of `purchase` that were read, those without a category included.
    purchase_count: u32,
    /// The algorithm, unless it is `Classic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    /// Version of the trained model that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    /// When that model was trained (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    generated_at: Option<Timestamp>,
}

/// A session's recommendation.
#[derive(Serialize, ToSchema)]
#[schema(as = SessionRecommendation)]
pub struct SessionAnswer<'a> {
    recommendations: Body<'a>,
    metadata: Metadata<'a>,
    /// Only if the request has `explain=true`: why each category is in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation<'a>>,
}

/// How recommendations were computed.
#[derive(Clone, Copy)]
pub struct Computation<'a> {
    /// From these rows.
    pub history: &'a History,
    /// By this algorithm.
    pub algorithm: Algorithm,
    /// With this model.
    pub model: Option<&'a TrainedModel>,
}

/// The answer for `user` as JSON.
#[must_use]
pub fn json(
    user: &UserId,
    recommendations: &Recommendations<'_>,
    computation: Computation<'_>,
) -> Bytes {
    explained(user, recommendations, computation, None)
}

/// The same with an explanation.
#[must_use]
pub fn explained<'a>(
    user: &'a UserId,
    recommendations: &Recommendations<'a>,
    computation: Computation<'a>,
    explanation: Option<Explanation<'a>>,
) -> Bytes {
    bytes(&Answer {
        user_id: user,
        recommendations: Body::of(recommendations),
        metadata: Metadata::of(computation),
        explanation,
        message: message(recommendations, computation.history),
    })
}

/// The answer for a session as JSON.
#[must_use]
pub fn session<'a>(
    recommendations: &Recommendations<'a>,
    computation: Computation<'a>,
    explanation: Option<Explanation<'a>>,
) -> Bytes {
    bytes(&SessionAnswer {
        recommendations: Body::of(recommendations),
        metadata: Metadata::of(computation),
        explanation,
    })
}

/// The JSON in a buffer of exactly its size, because the memory cache holds it.
fn bytes(answer: &impl Serialize) -> Bytes {
    let mut json = Vec::with_capacity(TYPICAL_BYTES);
    serde_json::to_writer(&mut json, answer).expect("numbers and strings always serialize");
    Bytes::copy_from_slice(&json)
}

impl<'a> Body<'a> {
    fn of(recommendations: &Recommendations<'a>) -> Self {
        let weights = recommendations.weights;
        Self {
            weightage: weights.sum().into(),
            search_weight: weights.search.into(),
            purchase_weight: weights.purchase.into(),
            recommended_categories: names(&recommendations.recommended),
            explore_categories: names(&recommendations.explore),
        }
    }
}

impl<'a> Metadata<'a> {
    fn of(computation: Computation<'a>) -> Self {
        let Computation {
            history,
            algorithm,
            model,
        } = computation;
        let model = model.filter(|_| algorithm != Algorithm::Classic);
        Self {
            search_count: history.searches.rows(),
            purchase_count: history.purchases.rows(),
            algorithm: match algorithm {
                Algorithm::Classic => None,
                Algorithm::NextBasket => Some("NextBasket"),
            },
            model: model.map(TrainedModel::version),
            generated_at: model.and_then(generated_at),
        }
    }
}

fn message(recommendations: &Recommendations<'_>, history: &History) -> Option<&'static str> {
    let message = if recommendations.recommended.is_empty() {
        "No data found for this user"
    } else {
        "No data found for this user: these categories are popular"
    };
    history.is_empty().then_some(message)
}

fn names<'a>(scored: &[Scored<'a>]) -> Vec<&'a str> {
    scored.iter().map(Scored::category).collect()
}

fn generated_at(model: &TrainedModel) -> Option<Timestamp> {
    let seconds = i64::try_from(model.created()).ok()?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use crate::model::{Day, History, UserId};
    use crate::scoring::{Selection, recommend};
    use crate::trained::{Category, TrainedModel};
    use bytes::Bytes;
    use reckon_contract::tuning::{Algorithm, Recommendation};

    fn json(user: &UserId, history: &History, model: Option<&TrainedModel>) -> Bytes {
        let algorithm = model.map_or(Algorithm::Classic, |_| Algorithm::NextBasket);
        let settings = Recommendation {
            algorithm,
            ..Recommendation::default()
        };
        let answer = recommend(history, model, &settings, &Selection::default());
        let computation = super::Computation {
            history,
            algorithm,
            model,
        };
        super::json(user, &answer, computation)
    }

    #[test]
    fn weights_have_one_decimal_and_weightage_is_their_sum() {
        let history = History {
            searches: [Some("electronics"); 5].into_iter().chain([None]).collect(),
            purchases: [Some("books"); 3].into_iter().collect(),
        };
        let body = json(&UserId::Integer(123), &history, None);
        insta::assert_snapshot!(
            str::from_utf8(&body).unwrap(),
            @r#"{"user_id":123,"recommendations":{"weightage":14.2,"search_weight":8.1,"purchase_weight":6.1,"recommended_categories":["books","electronics"],"explore_categories":[]},"metadata":{"search_count":6,"purchase_count":3}}"#
        );
    }

    #[test]
    fn a_user_without_rows_gets_zeros_and_a_message() {
        let history = History::default();
        let body = json(&UserId::Integer(7), &history, None);
        insta::assert_snapshot!(
            str::from_utf8(&body).unwrap(),
            @r#"{"user_id":7,"recommendations":{"weightage":0.0,"search_weight":0.0,"purchase_weight":0.0,"recommended_categories":[],"explore_categories":[]},"metadata":{"search_count":0,"purchase_count":0},"message":"No data found for this user"}"#
        );
    }

    #[test]
    fn an_answer_names_the_model_and_a_user_without_rows_gets_popular_categories() {
        let books = Category {
            name: "books".into(),
            share: 0.5,
            take_up: 0.0,
            related: Vec::new(),
        };
        let model = TrainedModel::new(1_764_000_000, Day(1), (1, 1), vec![books]).unwrap();
        let body = json(&UserId::Integer(7), &History::default(), Some(&model));
        insta::assert_snapshot!(
            str::from_utf8(&body).unwrap(),
            @r#"{"user_id":7,"recommendations":{"weightage":0.0,"search_weight":0.0,"purchase_weight":0.0,"recommended_categories":["books"],"explore_categories":[]},"metadata":{"search_count":0,"purchase_count":0,"algorithm":"NextBasket","model":"1764000000-cea175c5c238","generated_at":"2025-11-24T16:00:00Z"},"message":"No data found for this user: these categories are popular"}"#
        );
    }
}
