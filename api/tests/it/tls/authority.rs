//! A certificate authority of one test.

pub use reckon_harness::authority::Authority;
