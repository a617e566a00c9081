//! What must hold for whatever bytes come from outside: one function for each kind of input.
//!
//! The fuzz targets call these functions with inputs that libFuzzer makes; `api/tests/it/fuzz_seeds.rs` calls them with the
//! inputs in `seeds/`, on the stable toolchain. Each function panics if its input shows a defect.

pub mod entry;
pub mod keys;
pub mod request;
pub mod rows;
pub mod tuning;
