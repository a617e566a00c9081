//! The JSON that one user's recommendation is sent as: built once, cached as bytes.

use super::score::Recommendations;
use crate::model::{History, UserId};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

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
    #[schema(value_type = i64)]
    user_id: UserId,
    recommendations: Body<'a>,
    metadata: Metadata,
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
    /// Categories that occur at least twice among the searches or twice among the purchases, best first.
    #[schema(value_type = Vec<String>, max_items = 10)]
    recommended_categories: &'a [&'a str],
    /// The user's other categories, best first.
    #[schema(value_type = Vec<String>, max_items = 5)]
    explore_categories: &'a [&'a str],
}

/// How many rows were read.
#[derive(Serialize, ToSchema)]
#[schema(as = RecommendationMetadata)]
struct Metadata {
    /// Rows of `searches` that were read, those without a category included.
    search_count: u32,
    /// Rows of `purchase` that were read, those without a category included.
    purchase_count: u32,
}

/// The answer for `user` as JSON.
///
/// # Panics
/// Never: numbers and strings always serialize.
#[must_use]
pub fn json(user: UserId, history: &History, recommendations: &Recommendations<'_>) -> Bytes {
    let (search, purchase) = (
        recommendations.search_weight,
        recommendations.purchase_weight,
    );
    let answer = Answer {
        user_id: user,
        recommendations: Body {
            weightage: super::score::Tenths(search.0 + purchase.0).into(),
            search_weight: search.into(),
            purchase_weight: purchase.into(),
            recommended_categories: &recommendations.recommended,
            explore_categories: &recommendations.explore,
        },
        metadata: Metadata {
            search_count: history.searches.rows(),
            purchase_count: history.purchases.rows(),
        },
        message: history.is_empty().then_some("No data found for this user"),
    };
    serde_json::to_vec(&answer)
        .expect("numbers and texts always serialize")
        .into()
}

#[cfg(test)]
mod tests {
    use super::json;
    use crate::{
        model::{History, UserId},
        recommend::score::classic,
    };

    #[test]
    fn weights_have_one_decimal_and_weightage_is_their_sum() {
        let history = History {
            searches: [Some("electronics"); 5].into_iter().chain([None]).collect(),
            purchases: [Some("books"); 3].into_iter().collect(),
        };
        let body = json(UserId(123), &history, &classic(&history));
        insta::assert_snapshot!(
            str::from_utf8(&body).unwrap(),
            @r#"{"user_id":123,"recommendations":{"weightage":14.2,"search_weight":8.1,"purchase_weight":6.1,"recommended_categories":["books","electronics"],"explore_categories":[]},"metadata":{"search_count":6,"purchase_count":3}}"#
        );
    }

    #[test]
    fn a_user_without_rows_gets_zeros_and_a_message() {
        let history = History::default();
        let body = json(UserId(7), &history, &classic(&history));
        insta::assert_snapshot!(
            str::from_utf8(&body).unwrap(),
            @r#"{"user_id":7,"recommendations":{"weightage":0.0,"search_weight":0.0,"purchase_weight":0.0,"recommended_categories":[],"explore_categories":[]},"metadata":{"search_count":0,"purchase_count":0},"message":"No data found for this user"}"#
        );
    }
}
