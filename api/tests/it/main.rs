//! The API tried from outside: the real program, real databases, real caches, on this machine only.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod golden;
mod harness;
mod harness_selftest;
mod http_api;
mod invalidation;
mod scripted;
mod service;
mod shared_cache;
