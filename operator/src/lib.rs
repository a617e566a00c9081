//! The operator: what a `RecommendationService` is, and how it becomes a running one.

pub mod app;
pub mod args;
pub mod check;
pub mod controller;
pub mod crd;
mod health;
mod images;
mod lease;
mod metrics;
mod ops;
mod supervise;
pub mod telemetry;
pub mod tuning;
