//! What the integration tests stand on: real servers, the real program, a client and a balancer.
//!
//! Everything here listens on 127.0.0.1 only, keeps its files in a directory of its own, and is gone when the
//! value is dropped; a watchdog sees to that when the test process itself is killed ([`watchdog`]).
//!
//! ```ignore
//! let db = Flavour::MariaDb.start().await;
//! OriginalTables::default().create(&db, "reckon").await;
//! insert(&db, "reckon", &[History::newest_first(7, &["books", "books"], &["toys"])]).await;
//!
//! let api = ApiCommand::new().envs(db.environment("reckon")).spawn();
//! api.ready().await;
//! let answer = api.client().get("/recommend/7").await;
//! assert_eq!(answer.status, 200, "{}", answer.body);
//! ```

pub mod api_process;
pub mod balancer;
pub mod client;
pub mod each_flavour;
pub mod eventually;
pub mod installed;
pub mod original_tables;
pub mod own_network;
pub mod port;
pub mod process;
pub mod redis_server;
pub mod sql_server;
pub mod tcp_proxy;
pub mod watchdog;
