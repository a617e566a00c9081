//! See `api/src/recommend.rs`.

#[path = "../../src/recommend/flight.rs"]
pub mod flight;
