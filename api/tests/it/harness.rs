//! The basis of the integration tests: real servers (`reckon-harness`), the real program, a client and a balancer.
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
pub mod classic;
pub mod original_tables;
pub mod own_network;

pub use reckon_harness::{
    authority, client, each_flavour, eventually, hostile_server, installed, port, process,
    prometheus, redis_server, sql_server, tcp_proxy, watchdog,
};
