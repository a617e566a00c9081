//! The recommendation API: HTTP, caches, store and scoring. It does not depend on Kubernetes.
//!
//! The path of one request: [`http::edge`] -> a handler of [`http`] -> [`recommend`] (the use case) -> `cache::memory` ->
//! [`loader`] -> [`store`] -> [`scoring`] (pure) -> cached and returned. [`app`] connects the parts.

pub mod api_keys;
pub mod app;
pub mod args;
pub mod cache;
pub mod demo;
pub mod error_line;
pub mod evaluate;
pub mod evaluation;
pub mod events;
pub mod file_watch;
pub mod folding;
pub mod freshness;
#[doc(hidden)]
pub mod fuzzing;
mod hexadecimal;
pub mod http;
pub mod import;
mod latency;
pub mod loader;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod provision;
pub mod rate_limit;
pub mod recommend;
pub mod scoring;
mod stop;
pub mod store;
pub mod supervise;
mod sync;
pub mod telemetry;
pub mod trained;
pub mod trainer;
pub mod training;
