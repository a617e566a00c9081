//! See `api/src/loader.rs`.

#[path = "../../src/loader/queue.rs"]
pub mod queue;

pub mod error {
    pub use reckon_api::loader::LoadError;
}

pub mod metrics {
    pub use reckon_api::loader::LoaderMetrics;
}
