//! The operator: what a `RecommendationService` is, and how it becomes a running one.

pub mod provision;
