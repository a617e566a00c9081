//! The operator: what a `RecommendationService` is, and how it becomes a running one.

pub mod app;
pub mod args;
pub mod check;
pub mod controller;
pub mod crd;
pub mod health;
pub mod images;
pub mod lease;
pub mod metrics;
pub mod ops;
pub mod supervise;
pub mod telemetry;
pub mod tuning;
