//! The limit of the account is set, raised, lowered and removed under load. The behaviour of the servers, measured with
//! MariaDB 10.11 and MySQL 9.7:
//! - A session that was opened while the account had no limit is never counted, even if a limit is set later, and
//!   always reports 0. Only new sessions are counted: the account can have more sessions than its limit until the old
//!   ones are closed.
//! - A session that was opened under a limit is always counted, even after the limit was removed and set again.
//! - MySQL: the counted sessions report the current limit at once; after its removal 0.
//! - MariaDB: they report the limit at the account's latest login, accepted or refused. A removed limit is still reported; a new
//!   session reports 0.
//! - A limit below the number of open sessions closes none.

use std::time::Duration;

use super::{BASE, all_answered, full_load, open, spawn};
use crate::harness::api_process::ApiProcess;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON};
use crate::outages::tables::{pace, paced_server};

const SOON: Duration = Duration::from_secs(20);
const CAP: i64 = 8;
/// Connections are replaced within seconds.
const STORE: &str = "minPoolSize: 2, poolSize: 8, accountLimit: 12, connectionMaxAgeSeconds: 4";

async fn reports(api: &ApiProcess, limit: u32) {
    let client = api.client();
    eventually(SOON, async || {
        let health = client.get("/health").await.json();
        let reported = &health["connection_limit"];
        let is_so = reported["connections"] == limit && reported["account"].is_string();
        is_so.then_some(()).ok_or_else(|| health.to_string())
    })
    .await;
}

async fn the_pool_grows_only_under_a_limit(flavour: Flavour) {
    let server = paced_server(flavour).await;
    pace(&server, 0.005).await;
    let (api, _directory) = spawn(&server, STORE);
    api.ready().await;
    let load = full_load(&api);
    let has =
        async |connections| eventually(SOON, async || open(&server).await == connections).await;

    reports(&api, 0).await;
    has(BASE).await;
    // The limit counts for new sessions: the old ones are replaced as they age.
    server.allow_connections(RECKON.name, 10).await;
    reports(&api, 10).await;
    has(CAP).await;
    for limit in [12, 9] {
        server.allow_connections(RECKON.name, limit).await;
        reports(&api, u32::try_from(limit).unwrap()).await;
        has(CAP).await;
    }
    // More than the setting allows.
    server.allow_connections(RECKON.name, 13).await;
    reports(&api, 13).await;
    has(BASE).await;
    server.allow_connections(RECKON.name, 11).await;
    reports(&api, 11).await;
    has(CAP).await;
    server.allow_connections(RECKON.name, 0).await;
    reports(&api, 0).await;
    has(BASE).await;
    let answered = all_answered(load).await;
    println!("{flavour:?}: {answered} requests, none failed");
}

#[tokio::test]
async fn the_pool_grows_only_under_a_limit_mariadb() {
    the_pool_grows_only_under_a_limit(Flavour::MariaDb).await;
}

#[tokio::test]
async fn the_pool_grows_only_under_a_limit_mysql9() {
    the_pool_grows_only_under_a_limit(Flavour::MySql9).await;
}
