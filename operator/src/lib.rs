//! The Kubernetes operator: defines the `RecommendationService` resource and runs the API for each one.

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
mod watch_pace;
