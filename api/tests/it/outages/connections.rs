//! Connections that break, get lost or become old while the server works.

use super::fixture::{Fixture, POOL, UNCACHED, fill};
use super::tables::{pace, paced_server};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::harness::watchdog::Scratch;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(10);
/// A proof of what the server has ended, beginning with a probe after an outage.
const PROVEN_WITHIN: Duration = Duration::from_secs(20);
/// Until the prober has given its connection up and has another one.
const GIVEN_UP: Duration = Duration::from_secs(16);
/// `connectionMaxAgeSeconds` of [`aging`].
pub const MAX_AGE: Duration = Duration::from_secs(2);
const QUARANTINED: &str = "reckon_store_connections{state=\"quarantined\"}";

/// A ready service that reaches the server through the proxy.
async fn behind(name: &str, server: SqlServer, proxy: &TcpProxy) -> Fixture {
    let port = proxy.port().to_string();
    let mut fixture = Fixture::over(name, server, |api| api.env("DB_PORT", port)).await;
    fixture.count_connections().await;
    fixture.api.ready().await;
    fixture.fill_cache().await;
    fixture
}

pub async fn only_the_probers_connection_is_lost(flavour: Flavour) {
    let name = format!("prober lost {flavour:?}");
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let proxy = TcpProxy::to(server.port()).await;
    let fixture = behind(&name, server, &proxy).await;
    // The server goes on counting the connection that leads nowhere.
    fixture
        .server
        .allow_connections(RECKON.name, POOL + 1)
        .await;
    // The first connection of the process is the prober's.
    proxy.lose_first(1);
    let lost = Instant::now();
    let mut asked = 0;
    while lost.elapsed() < GIVEN_UP {
        // So seldom that the workers are idle in between.
        let answer = fixture.recommend(UNCACHED + asked).await;
        assert_eq!(answer.status, 200, "{:?}: {answer:?}", lost.elapsed());
        assert_eq!(answer.header("x-cache"), Some("MISS"), "{answer:?}");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    let health = fixture.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    let logs = fixture.api.process.logs();
    let complaint = logs.iter().find(|line| line.contains("store unavailable"));
    assert!(complaint.is_none(), "{complaint:?}");
    println!("{name}: {asked} misses answered while the prober's connection was lost");
}

pub async fn connections_that_are_reset_in_the_middle_of_statements(flavour: Flavour) {
    let name = format!("reset {flavour:?}");
    let server = paced_server(flavour).await;
    let proxy = TcpProxy::to(server.port()).await;
    let fixture = behind(&name, server, &proxy).await;
    let load = fixture.send_load();
    for round in 0..2 {
        pace(&fixture.server, 0.1).await;
        eventually(PROVEN_WITHIN, async || {
            fixture.server.sessions(RECKON.name).await.running >= POOL - 1
        })
        .await;
        proxy.set_mode(Mode::Closed);
        let quarantined = eventually(SOON, async || {
            let quarantined = fixture.figure(QUARANTINED).await;
            (quarantined > 0).then_some(quarantined)
        })
        .await;
        let running = fixture.server.sessions(RECKON.name).await.running;
        proxy.set_mode(PROMPT);
        pace(&fixture.server, 0.0).await;
        println!("{name}, round {round}: {running} statements run on, {quarantined} in quarantine");
        eventually(PROVEN_WITHIN, async || {
            fixture.figure(QUARANTINED).await == 0
        })
        .await;
        fixture.recovers().await;
    }
    let tally = load.stop().await;
    assert!(tally.count("MISS") > 0);
    fixture.is_within_its_connections().await;
}

/// A service that replaces its connections after [`MAX_AGE`].
pub async fn aging(name: &str, flavour: Flavour) -> (Fixture, Scratch) {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let directory = Scratch::new(&std::env::temp_dir(), "reckon-old-");
    let tuning = directory.path().join("tuning.yaml");
    let text = format!(
        "{{store: {{poolSize: {POOL}, connectionMaxAgeSeconds: {}}}, cache: {{memory: {{ttlSeconds: 1}}}}}}",
        MAX_AGE.as_secs()
    );
    std::fs::write(&tuning, text).unwrap();
    let mut fixture = Fixture::over(name, server, |api| api.env("RECKON_TUNING", &tuning)).await;
    fixture.count_connections().await;
    fixture.api.ready().await;
    (fixture, directory)
}

pub async fn connections_that_are_old_are_replaced_one_at_a_time(flavour: Flavour) {
    let name = format!("old {flavour:?}");
    let (fixture, _tuning) = aging(&name, flavour).await;
    let load = fixture.send_load();
    let mut admin = fixture.server.admin().await;
    let mut ids = async || -> BTreeSet<i64> {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?",
        )
        .bind(RECKON.name)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        ids.into_iter().collect()
    };
    let all = usize::try_from(POOL).unwrap();
    let began = Instant::now();
    while ids().await.len() < all {
        assert!(began.elapsed() < SOON, "not every worker is used");
    }
    let (mut seen, mut fewest) = (BTreeSet::new(), all);
    let began = Instant::now();
    while seen.len() < 3 * all {
        assert!(began.elapsed() < 2 * SOON, "{seen:?}");
        let now = ids().await;
        fewest = fewest.min(now.len());
        seen.extend(now);
    }
    let tally = load.stop().await;
    println!(
        "{name}: {} connections in {:?}, never fewer than {fewest} at once",
        seen.len(),
        began.elapsed()
    );
    assert!(fewest >= all - 1, "{fewest}");
    assert_eq!(tally.count("503"), 0);
    fixture.is_within_its_connections().await;
}

pub async fn health_requests_cost_few_statements(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("health {flavour:?}"), flavour).await;
    fixture.server.log_statements().await;
    let began = Instant::now();
    for _ in 0..400 {
        let health = fixture.client.get("/health").await;
        assert_eq!(health.status, 200, "{}", health.body);
    }
    let took = began.elapsed();
    fixture.server.stop_logging().await;
    let statements = fixture.server.statements().await;
    println!("400 questions in {took:?}: {} commands", statements.len());
    // A probe is a ping, a statement and a look at the account's limit; at most one a second.
    let most = 3 * (2 + took.as_secs());
    assert!(statements.len() as u64 <= most, "{statements:#?}");
}
