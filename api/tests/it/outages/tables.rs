//! A server that answers, and tables that do not.

use super::scene::{KNOWN, MAX_WAIT, POOL, Scene, UNKNOWN, fill, truth};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use sqlx::Executor;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);
/// Clients that go away in the middle of a load.
const LEAVING: i64 = 200;

pub async fn a_table_that_another_session_has_locked(flavour: Flavour) {
    let scene = Scene::ready(&format!("locked {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    let mut other = scene.server.admin().await;
    other
        .execute(sqlx::raw_sql("LOCK TABLES reckon.purchase WRITE"))
        .await
        .unwrap();
    scene.is_down("timeout").await;
    scene.is_ready(true).await;
    scene.cached_answers_are_served().await;
    other.execute(sqlx::raw_sql("UNLOCK TABLES")).await.unwrap();
    scene.is_well_again().await;
    load.stop().await;
    scene.has_few_connections().await;
    scene.logs_are_short(&["timeout"], 1);
}

pub async fn a_table_that_is_dropped_and_made_again(flavour: Flavour) {
    let scene = Scene::ready(&format!("dropped {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    scene
        .server
        .execute("USE reckon; CREATE TABLE again LIKE searches; INSERT INTO again SELECT * FROM searches; DROP TABLE searches")
        .await;
    scene.is_down("missing table or column").await;
    scene.is_ready(true).await;
    scene.cached_answers_are_served().await;
    scene
        .server
        .execute("RENAME TABLE reckon.again TO reckon.searches")
        .await;
    scene.is_well_again().await;
    load.stop().await;
    scene.has_few_connections().await;
    scene.logs_are_short(&["missing table or column"], 1);
}

pub async fn statements_that_take_longer_than_a_request_waits(flavour: Flavour) {
    let scene = paced(&format!("slow {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    pace(&scene.server, 30.0).await;
    // The server ends each statement, so nobody waits for longer than the deadline.
    let unknown = scene.ask(UNKNOWN).await;
    assert_eq!(unknown.status, 503, "{unknown:?}");
    assert!(unknown.elapsed < MAX_WAIT, "{unknown:?}");
    let known = scene.ask(KNOWN).await;
    assert_eq!(known.header("x-cache"), Some("STALE"), "{known:?}");
    assert_eq!(known.json(), truth(KNOWN));
    let invalidated = scene.invalidated_is_gone().await;
    scene.is_ready(true).await;
    println!(
        "slow {flavour:?}: 503 after {:?}, STALE after {:?}, 503 after {:?}",
        unknown.elapsed, known.elapsed, invalidated.elapsed,
    );
    // The prober is answered, and yet nobody is served.
    scene.is_unhealthy("timeout").await;
    scene.has_few_connections().await;
    pace(&scene.server, 0.0).await;
    scene.is_well_again().await;
    let tally = load.stop().await;
    assert!(tally.count("503") > 0);
    scene.has_few_connections().await;
}

pub async fn clients_that_go_away_in_the_middle_of_a_load(flavour: Flavour) {
    let name = format!("leaving {flavour:?}");
    let scene = paced(&name, flavour).await;
    let before = scene.server.sessions(RECKON.name).await.open;
    pace(&scene.server, 0.05).await;
    let address = scene.api.backend().serve;
    let mut clients = Vec::new();
    for user in UNKNOWN - LEAVING..UNKNOWN {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /recommend/{user} HTTP/1.1\r\nHost: api\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    eventually(SOON, async || {
        scene.server.sessions(RECKON.name).await.running == POOL - 1
    })
    .await;
    // The workers are busy with the first of them while the others are still being read.
    let in_flight = eventually(SOON, async || {
        let in_flight = scene.figure("reckon_http_requests_in_flight").await;
        (in_flight > 100).then_some(in_flight)
    })
    .await;
    drop(clients);
    eventually(SOON, async || {
        scene.figure("reckon_http_requests_in_flight").await == 0
    })
    .await;
    // One who comes now is served, behind what goes on.
    let next = scene.ask(UNKNOWN).await;
    pace(&scene.server, 0.0).await;
    for name in [
        "reckon_store_connections{state=\"busy\"}",
        "reckon_loader_queue_users",
    ] {
        eventually(SOON, async || scene.figure(name).await == 0).await;
    }
    let after = scene.server.sessions(RECKON.name).await.open;
    println!(
        "{name}: {in_flight} left; the next got {} after {:?}; {before} connections before, {after} after",
        next.status, next.elapsed
    );
    assert_eq!((before, after), (POOL, POOL));
    scene.is_well_again().await;
}

pub async fn a_row_that_cannot_be_read_hurts_only_its_user(flavour: Flavour) {
    let name = format!("unreadable {flavour:?}");
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    // Categories by number, as many shops keep them; somebody entered number 5's twice.
    server
        .execute(
            "USE reckon; RENAME TABLE searches TO original; CREATE TABLE names AS SELECT DISTINCT id AS number, category AS name FROM original; \
             INSERT INTO names VALUES (5, 'twice'); ALTER TABLE names ADD INDEX (number); \
             CREATE VIEW searches AS SELECT id, search, searched_at, (SELECT name FROM names WHERE number = original.id) AS category, SUCCESS \
             FROM original",
        )
        .await;
    let scene = Scene::ready_over(&name, server).await;
    scene.server.log_statements().await;
    let batch = scene
        .client
        .get("/batch-recommend?user_ids=3,4,5,6,7,8,9,10")
        .await;
    let statements = scene.server.history_statements().await.len();
    scene.server.stop_logging().await;
    assert_eq!(batch.status, 200, "{}", batch.body);
    let told = batch.json();
    assert_eq!(
        told["results"],
        serde_json::json!([3, 4, 6, 7, 8, 9, 10].map(truth))
    );
    assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["errors"][0]["user_id"], 5, "{told}");
    // Alone, it is refused in a known sentence, and neither kept nor taken for a user without rows.
    let alone = scene.ask(5).await;
    assert_eq!(alone.status, 503, "{}", alone.body);
    println!(
        "{name}: {} in {:?} with {statements} statements, {} alone: {}",
        told["errors"][0], batch.elapsed, alone.status, alone.body
    );
    let health = scene.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    let logs = scene.api.process.logs();
    assert!(
        !logs.iter().any(|line| line.contains("store unavailable")),
        "{logs:#?}"
    );
    scene
        .server
        .execute("DELETE FROM reckon.names WHERE name = 'twice'")
        .await;
    scene.is_well_again().await;
}

/// A ready service over a table that is as slow as [`pace`] says.
pub async fn paced(name: &str, flavour: Flavour) -> Scene {
    Scene::ready_over(name, paced_server(flavour).await).await
}

/// A server with such a table.
pub async fn paced_server(flavour: Flavour) -> SqlServer {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    server
        .execute(
            "USE reckon; CREATE TABLE pace (seconds DOUBLE); INSERT INTO pace VALUES (0); RENAME TABLE searches TO original; \
             CREATE VIEW searches AS SELECT * FROM original WHERE SLEEP((SELECT seconds FROM pace)) = 0",
        )
        .await;
    server
}

/// From now on the server sleeps for so long at each row of `searches`.
pub async fn pace(server: &SqlServer, seconds: f64) {
    server
        .execute(format!("UPDATE reckon.pace SET seconds = {seconds}"))
        .await;
}
