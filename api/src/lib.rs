//! The recommendation API: HTTP, caches, store and scoring. Knows nothing of Kubernetes.
//!
//! One request reads: [`http::edge`] -> a handler of [`http`] -> [`recommend`] (the use case) -> [`cache::memory`] ->
//! [`loader`] -> [`store`] -> [`recommend::score`] (pure) -> kept and answered. [`app`] puts the parts together.

pub mod api_keys;
pub mod app;
pub mod args;
pub mod cache;
pub mod demo;
pub mod error_line;
pub mod http;
pub mod import;
mod latency;
pub mod loader;
pub mod metrics;
pub mod model;
pub mod provision;
pub mod rate_limit;
pub mod recommend;
pub mod secret;
pub mod store;
pub mod supervise;
pub mod telemetry;

/// The locks and atomics of the files that the crate `interleavings` compiles too. That crate replaces them with shuttle's.
mod sync {
    pub use std::sync::{Mutex, MutexGuard, PoisonError, atomic};
}

/// What is otherwise private, for the fuzz targets (`fuzz/`): no stable interface.
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::cache::shared::entry::{DecodeError, TOKEN_LENGTH, decode, encode};
    pub use crate::http::parameters::{PathUser, QueryUsers};
    pub use crate::http::server::{Client, Handler, http1};
    pub use crate::http::{rejection::Rejection, route::Route};
    pub use crate::import::columns::{Alphabet, Column, Length, TableLimits, Text, Times};
    pub use crate::import::rows::{Error, Problem, Row, Rows};
    pub use crate::import::time::Time;
    pub use crate::rate_limit::client_ip::client_ip;
    pub use crate::store::table::{PURCHASE, SEARCHES, Table};
}
