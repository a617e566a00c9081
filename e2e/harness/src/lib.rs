//! The basis of integration tests: real, separate servers, on this machine only.
//!
//! Everything here listens on 127.0.0.1 only, keeps its files in a separate directory, and is gone when the value is
//! dropped. If the test process itself is killed, a watchdog cleans up ([`watchdog`]).
//!
//! ```no_run
//! # async fn example() {
//! use reckon_harness::sql_server::Flavour;
//!
//! let db = Flavour::MariaDb.start().await;
//! db.execute("CREATE DATABASE shop").await;
//! # }
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test stops at the first surprise, and says where"
)]

pub mod authority;
pub mod client;
pub mod each_flavour;
pub mod eventually;
pub mod exposition;
pub mod generated;
pub mod hostile_server;
pub mod installed;
pub mod layers;
pub mod port;
pub mod process;
pub mod prometheus;
pub mod redis_server;
pub mod sql_server;
pub mod tcp_proxy;
pub mod watchdog;
