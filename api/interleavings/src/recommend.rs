//! See `api/src/recommend.rs`.

#[path = "../../src/recommend/singleflight.rs"]
pub mod singleflight;
