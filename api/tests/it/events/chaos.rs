//! Events that are sent several times, over three processes, while processes and the database are killed.

use super::fixture::{
    Fixture, POOL, TUNING, is_available, is_connected, purchase, search, try_send,
};
use crate::harness::api_process::ApiProcess;
use crate::harness::client::Client;
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;

const EVENTS: i64 = 400;
const USERS: i64 = 40;
/// The account of the process whose pool grows and shrinks.
const ELASTIC: &str = "three";
const PASSWORD: &str = "the-password-of-an-account";
/// Maximum time until other processes have received an invalidation: one second, or ten if they are cut off from Redis,
/// plus the delay of a busy machine.
const BOUND: Duration = Duration::from_secs(10 + 10);

fn event(number: i64) -> Value {
    let id = format!("event-{number}");
    if number % 2 == 0 {
        search(&id, number % USERS)
    } else {
        purchase(&id, number % USERS)
    }
}

/// A process with its own account, whose limit is the number of connections of the process.
fn command(
    fixture: &Fixture,
    redis: &RedisServer,
    account: &str,
) -> crate::harness::api_process::ApiCommand {
    let tuning = if account == ELASTIC {
        &TUNING.replace("poolSize: 4", "minPoolSize: 3, poolSize: 10")
    } else {
        TUNING
    };
    let command = fixture.command(tuning).envs(redis.environment());
    command.env("DB_USER", account).env("DB_PASSWORD", PASSWORD)
}

/// The events that were acknowledged to the clients.
#[derive(Default)]
struct Acknowledged {
    /// Events of each user, by the process that acknowledged them.
    by_process: Mutex<BTreeMap<(usize, i64), BTreeSet<i64>>>,
}

impl Acknowledged {
    fn add(&self, process: usize, events: &[i64]) {
        let mut all = self.by_process.lock().unwrap();
        for event in events {
            all.entry((process, event % USERS))
                .or_default()
                .insert(*event);
        }
    }

    fn of(&self, process: usize, user: i64) -> u64 {
        let all = self.by_process.lock().unwrap();
        all.get(&(process, user))
            .map_or(0, |events| events.len() as u64)
    }
}

async fn answered_rows(client: &Client, user: i64) -> anyhow::Result<Option<u64>> {
    let answer = client
        .send(http::Method::GET, &format!("/recommend/{user}"), "")
        .await?;
    if answer.status != 200 {
        return Ok(None);
    }
    let counts = &answer.json()["metadata"];
    let count = |name: &str| counts[name].as_u64().unwrap();
    Ok(Some(count("search_count") + count("purchase_count")))
}

/// Sends events until each was acknowledged once. Each acknowledged event must be in the next answer of the process.
async fn send_all(
    clients: Arc<Vec<Client>>,
    batches: Vec<Vec<i64>>,
    acknowledged: Arc<Acknowledged>,
) -> [u64; 2] {
    let (mut sent, mut failed) = (0, 0);
    for batch in batches {
        let events: Vec<Value> = batch.iter().map(|number| event(*number)).collect();
        loop {
            let process = fastrand::usize(..clients.len());
            sent += 1;
            let answer = try_send(&clients[process], &json!(events)).await;
            match answer {
                Ok(answer) if answer.status == 200 => {
                    acknowledged.add(process, &batch);
                    let user = batch[0] % USERS;
                    let known = acknowledged.of(process, user);
                    if let Ok(Some(seen)) = answered_rows(&clients[process], user).await {
                        assert!(seen >= known, "{seen} of {known}, which are acknowledged");
                    }
                    break;
                }
                Ok(answer) => {
                    assert_eq!(answer.status, 503, "{}", answer.body);
                    failed += 1;
                }
                Err(_) => failed += 1,
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(20..200))).await;
        }
    }
    [sent, failed]
}

async fn assert_never_refused(api: &ApiProcess) {
    let figures = api.exposition().await;
    let refused = figures.sum("reckon_store_connections_refused", None);
    assert!(refused.abs() < 0.1, "{refused}");
}

async fn each_event_is_stored_once_whatever_is_killed(flavour: Flavour) {
    let mut fixture = Fixture::on(flavour).await;
    let redis = RedisServer::running().await;
    let accounts = ["one", "two", ELASTIC];
    for account in accounts {
        let most = if account == ELASTIC { 10 } else { POOL };
        fixture
            .execute(&format!(
                "CREATE USER {account}@'%' IDENTIFIED BY '{PASSWORD}' WITH MAX_USER_CONNECTIONS {most}; \
                 GRANT SELECT ON reckon.* TO {account}@'%'; GRANT INSERT ON reckon.searches TO {account}@'%'; \
                 GRANT INSERT ON reckon.purchase TO {account}@'%'; \
                 GRANT INSERT, DELETE ON reckon.reckon_events TO {account}@'%'"
            ))
            .await;
    }
    let mut apis: Vec<ApiProcess> = accounts
        .iter()
        .map(|account| command(&fixture, &redis, account).spawn())
        .collect();
    for api in &apis {
        is_available(api).await;
        is_connected(api).await;
    }
    let clients: Arc<Vec<Client>> = Arc::new(
        apis.iter()
            .map(|api| api.client().with_timeout(Duration::from_secs(12)))
            .collect(),
    );
    // Each event is sent one to five times, in any order, alone or with others.
    let mut copies: Vec<i64> = (0..EVENTS)
        .flat_map(|number| std::iter::repeat_n(number, fastrand::usize(1..=5)))
        .collect();
    fastrand::shuffle(&mut copies);
    let mut batches: Vec<Vec<i64>> = Vec::new();
    while !copies.is_empty() {
        let size = fastrand::usize(1..=4).min(copies.len());
        batches.push(copies.split_off(copies.len() - size));
    }
    let acknowledged = Arc::new(Acknowledged::default());
    let mut senders = JoinSet::new();
    for part in batches.chunks(batches.len().div_ceil(12)) {
        let (clients, acknowledged) = (Arc::clone(&clients), Arc::clone(&acknowledged));
        senders.spawn(send_all(clients, part.to_vec(), acknowledged));
    }
    for round in 0..4 {
        let known: usize = acknowledged
            .by_process
            .lock()
            .unwrap()
            .values()
            .map(BTreeSet::len)
            .sum();
        eventually(super::fixture::TIMEOUT, async || {
            let now: usize = acknowledged
                .by_process
                .lock()
                .unwrap()
                .values()
                .map(BTreeSet::len)
                .sum();
            now > known + 30 || senders.is_empty()
        })
        .await;
        let place = round % 3;
        assert_never_refused(&apis[place]).await;
        apis[place].process.kill();
        let account = accounts[place];
        eventually(super::fixture::TIMEOUT, async || {
            fixture.server().sessions(account).await.open == 0
        })
        .await;
        apis[place].process.start();
        is_available(&apis[place]).await;
        if round % 2 == 1 {
            fixture.server_mut().restart().await;
        }
    }
    let results = tokio::time::timeout(4 * super::fixture::TIMEOUT, senders.join_all())
        .await
        .unwrap();
    let [sent, failed] = results
        .iter()
        .fold([0, 0], |sum, it| [sum[0] + it[0], sum[1] + it[1]]);
    println!("{flavour:?}: {sent} requests, {failed} of them failed");
    assert_eq!(fixture.rows().await, (EVENTS / 2, EVENTS / 2));
    for (place, client) in clients.iter().enumerate() {
        for user in 0..USERS {
            eventually(BOUND, async || {
                let seen = answered_rows(client, user).await?;
                anyhow::ensure!(seen == Some(10), "user {user} of process {place}: {seen:?}");
                Ok(())
            })
            .await;
        }
        assert_never_refused(&apis[place]).await;
    }
}

on_each_flavour!(each_event_is_stored_once_whatever_is_killed);
