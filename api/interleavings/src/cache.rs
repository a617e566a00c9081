//! See `api/src/cache.rs`.

#[path = "../../src/cache/generation.rs"]
pub mod generation;
