//! The API tested from outside: the real program, real databases, real caches, on this machine only.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod access_log;
mod alerts;
mod docs_page;
mod documentation;
mod elastic;
mod events;
mod experiment;
mod folding;
mod freshness;
#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;
mod fuzz_seeds;
mod generated_users;
mod golden;
mod harness;
mod harness_selftest;
mod hostile;
mod http_api;
mod import;
mod invalidation;
mod keys;
mod layers;
mod load;
mod loader;
mod locust;
mod metrics_text;
mod migrate;
mod mixed_load;
mod monitor;
mod next_basket;
mod outages;
mod provision;
mod rate_limit;
mod real_purchases;
mod schemathesis;
mod scripted;
mod service;
mod session_settings;
mod shared_cache;
mod shutdown;
mod sockets;
mod sqlite_file;
mod start;
mod supervised;
mod table_lock;
mod tables;
mod tls;
mod training;
