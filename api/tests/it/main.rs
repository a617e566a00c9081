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
mod migrate;
mod real_purchases;
mod scripted;
mod service;
mod tables;
mod tls;
