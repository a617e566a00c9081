//! Compiles the concurrent parts of the API, from the API's own files, against [shuttle]: its scheduler chooses which task runs
//! next. The models are in `tests/it`.
//!
//! In those files `tokio` means this crate. Its locks, atomics and notifications allow the scheduler to switch tasks before each
//! operation. [`sync`] also replaces the API's `sync`.

// The unit tests inside the API's files run in the API's crate only.
#![cfg(not(test))]
#![expect(
    missing_docs,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "items that are private in the API are public here"
)]

extern crate self as tokio;

pub mod cache;
pub mod loader;
pub mod recommend;
pub mod sync;

pub use real_tokio::time;
pub use reckon_api::model;
