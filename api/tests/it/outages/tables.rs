//! A server that answers, but whose tables are locked or slow.

use super::fixture::{CACHED, Fixture, MAX_WAIT, POOL, UNCACHED, fill, truth};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use sqlx::Executor;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);
/// Clients that disconnect in the middle of a load.
const LEAVING: i64 = 200;

pub async fn a_table_locked_by_another_session(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("locked {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    let mut other = fixture.server.admin().await;
    other
        .execute(sqlx::raw_sql("LOCK TABLES reckon.purchase WRITE"))
        .await
        .unwrap();
    fixture.becomes_unavailable("timeout").await;
    fixture.is_ready(true).await;
    fixture.cached_answers_are_served().await;
    other.execute(sqlx::raw_sql("UNLOCK TABLES")).await.unwrap();
    fixture.recovers().await;
    load.stop().await;
    fixture.is_within_its_connections().await;
    fixture.logs_are_short(&["timeout"], 1);
}

pub async fn a_table_that_is_dropped_and_recreated(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("dropped {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    fixture
        .server
        .execute("USE reckon; CREATE TABLE again LIKE searches; INSERT INTO again SELECT * FROM searches; DROP TABLE searches")
        .await;
    fixture.becomes_unavailable("missing table or column").await;
    fixture.is_ready(true).await;
    fixture.cached_answers_are_served().await;
    fixture
        .server
        .execute("RENAME TABLE reckon.again TO reckon.searches")
        .await;
    fixture.recovers().await;
    load.stop().await;
    fixture.is_within_its_connections().await;
    fixture.logs_are_short(&["missing table or column"], 1);
}

pub async fn statements_that_take_longer_than_a_request_waits(flavour: Flavour) {
    let fixture = paced(&format!("slow {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    pace(&fixture.server, 30.0).await;
    // The server ends each statement, so nobody waits for longer than the deadline.
    let unknown = fixture.recommend(UNCACHED).await;
    assert_eq!(unknown.status, 503, "{unknown:?}");
    assert!(unknown.elapsed < MAX_WAIT, "{unknown:?}");
    let known = fixture.recommend(CACHED).await;
    assert_eq!(known.header("x-cache"), Some("STALE"), "{known:?}");
    assert_eq!(known.json(), truth(CACHED));
    let invalidated = fixture.invalidated_user_is_rejected().await;
    fixture.is_ready(true).await;
    println!(
        "slow {flavour:?}: 503 after {:?}, STALE after {:?}, 503 after {:?}",
        unknown.elapsed, known.elapsed, invalidated.elapsed,
    );
    // The prober is answered, and yet nobody is served.
    fixture.becomes_unhealthy("timeout").await;
    fixture.is_within_its_connections().await;
    pace(&fixture.server, 0.0).await;
    fixture.recovers().await;
    let tally = load.stop().await;
    assert!(tally.count("503") > 0);
    fixture.is_within_its_connections().await;
}

pub async fn clients_that_disconnect_in_the_middle_of_a_load(flavour: Flavour) {
    let name = format!("leaving {flavour:?}");
    let fixture = paced(&name, flavour).await;
    let before = fixture.server.sessions(RECKON.name).await.open;
    pace(&fixture.server, 0.05).await;
    let address = fixture.api.backend().serve;
    let mut clients = Vec::new();
    for user in UNCACHED - LEAVING..UNCACHED {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET /recommend/{user} HTTP/1.1\r\nHost: api\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    eventually(SOON, async || {
        fixture.server.sessions(RECKON.name).await.running == POOL - 1
    })
    .await;
    // The workers are busy with the first of them while the others are still being read.
    let in_flight = eventually(SOON, async || {
        let in_flight = fixture.figure("reckon_http_requests_in_flight").await;
        (in_flight > 100).then_some(in_flight)
    })
    .await;
    drop(clients);
    eventually(SOON, async || {
        fixture.figure("reckon_http_requests_in_flight").await == 0
    })
    .await;
    // One who comes now is served, behind what goes on.
    let next = fixture.recommend(UNCACHED).await;
    pace(&fixture.server, 0.0).await;
    for name in [
        "reckon_store_connections{state=\"busy\"}",
        "reckon_loader_queue_users",
    ] {
        eventually(SOON, async || fixture.figure(name).await == 0).await;
    }
    let after = fixture.server.sessions(RECKON.name).await.open;
    println!(
        "{name}: {in_flight} left; the next got {} after {:?}; {before} connections before, {after} after",
        next.status, next.elapsed
    );
    assert_eq!((before, after), (POOL, POOL));
    fixture.recovers().await;
}

pub async fn a_row_that_cannot_be_read_affects_only_its_user(flavour: Flavour) {
    let name = format!("unreadable {flavour:?}");
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    // Categories by number, as in many shops. Number 5 exists twice.
    server
        .execute(
            "USE reckon; RENAME TABLE searches TO original; CREATE TABLE names AS SELECT DISTINCT id AS number, category AS name FROM original; \
             INSERT INTO names VALUES (5, 'twice'); ALTER TABLE names ADD INDEX (number); \
             CREATE VIEW searches AS SELECT id, search, searched_at, (SELECT name FROM names WHERE number = original.id) AS category, SUCCESS \
             FROM original",
        )
        .await;
    let fixture = Fixture::ready_over(&name, server).await;
    fixture.server.log_statements().await;
    let batch = fixture
        .client
        .get("/batch-recommend?user_ids=3,4,5,6,7,8,9,10")
        .await;
    let statements = fixture.server.history_statements().await.len();
    fixture.server.stop_logging().await;
    assert_eq!(batch.status, 200, "{}", batch.body);
    let told = batch.json();
    assert_eq!(
        told["results"],
        serde_json::json!([3, 4, 6, 7, 8, 9, 10].map(truth))
    );
    assert_eq!(told["errors"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["errors"][0]["user_id"], 5, "{told}");
    // Alone, it is refused in a known sentence, and neither kept nor taken for a user without rows.
    let alone = fixture.recommend(5).await;
    assert_eq!(alone.status, 503, "{}", alone.body);
    println!(
        "{name}: {} in {:?} with {statements} statements, {} alone: {}",
        told["errors"][0], batch.elapsed, alone.status, alone.body
    );
    let health = fixture.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    let logs = fixture.api.process.logs();
    assert!(
        !logs.iter().any(|line| line.contains("store unavailable")),
        "{logs:#?}"
    );
    fixture
        .server
        .execute("DELETE FROM reckon.names WHERE name = 'twice'")
        .await;
    fixture.recovers().await;
}

/// A ready service over a table that is as slow as [`pace`] says.
pub async fn paced(name: &str, flavour: Flavour) -> Fixture {
    Fixture::ready_over(name, paced_server(flavour).await).await
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

/// From now on, the server sleeps for this time at each row of `searches`.
pub async fn pace(server: &SqlServer, seconds: f64) {
    server
        .execute(format!("UPDATE reckon.pace SET seconds = {seconds}"))
        .await;
}
