//! See `api/src/loader.rs`.

#[path = "../../src/loader/queue.rs"]
pub mod queue;

#[path = "../../src/loader/pool.rs"]
pub mod pool;

pub mod error {
    pub use reckon_api::loader::LoadError;
}

pub mod metrics {
    pub use reckon_api::loader::LoaderMetrics;
}
