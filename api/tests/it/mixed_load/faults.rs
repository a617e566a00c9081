//! Random faults of the database, and independent ones of Redis.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Executor};
use tokio::time::sleep;

use super::{Run, World};
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::SqlServer;
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::table_lock::TableLock;

/// The periods of faults.
#[derive(Default)]
pub struct Windows(Mutex<Vec<(Instant, Option<Instant>)>>);

impl Windows {
    fn open(&self) {
        self.0.lock().unwrap().push((Instant::now(), None));
    }

    fn close(&self) {
        self.0.lock().unwrap().last_mut().unwrap().1 = Some(Instant::now());
    }

    /// Whether there was a fault between two moments, or one that ended at most this long before.
    pub fn touch(&self, from: Instant, to: Instant, aftermath: Duration) -> bool {
        let windows = self.0.lock().unwrap();
        windows
            .iter()
            .any(|(begin, end)| *begin <= to && end.is_none_or(|end| end + aftermath >= from))
    }
}

/// All faults so far.
#[derive(Default)]
pub struct Faults {
    pub store: Windows,
    /// The faults of Redis for each process.
    pub redis: [Windows; 2],
    counts: Mutex<BTreeMap<String, usize>>,
}

impl Faults {
    fn count(&self, fault: impl std::fmt::Debug) {
        let mut counts = self.counts.lock().unwrap();
        *counts.entry(format!("{fault:?}")).or_default() += 1;
    }

    /// The number of faults of each kind.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.counts.lock().unwrap().clone()
    }
}

#[derive(Clone, Copy, Debug)]
enum StoreFault {
    StoreFrozen,
    StoreKilled,
    TablesLocked,
    SessionsKilled,
    StoreSlow,
    /// The store is slower than a request waits.
    StoreTooSlow,
    StoreConnectionsClosed,
}

const STORE_FAULTS: [StoreFault; 7] = [
    StoreFault::StoreFrozen,
    StoreFault::StoreKilled,
    StoreFault::TablesLocked,
    StoreFault::SessionsKilled,
    StoreFault::StoreSlow,
    StoreFault::StoreTooSlow,
    StoreFault::StoreConnectionsClosed,
];

#[derive(Clone, Copy, Debug)]
enum RedisFault {
    RedisFrozen,
    RedisKilled,
    RedisFlushed,
    RedisClientsKilled,
    RedisPaused,
    OneWaySilent,
    OneWayClosed,
    OneWaySlow,
    OneWayLost,
}

const REDIS_FAULTS: [RedisFault; 9] = [
    RedisFault::RedisFrozen,
    RedisFault::RedisKilled,
    RedisFault::RedisFlushed,
    RedisFault::RedisClientsKilled,
    RedisFault::RedisPaused,
    RedisFault::OneWaySilent,
    RedisFault::OneWayClosed,
    RedisFault::OneWaySlow,
    RedisFault::OneWayLost,
];

/// Each kind once, in any order, and then again.
struct Turns<T: 'static> {
    all: &'static [T],
    left: Vec<T>,
    dice: Rng,
}

impl<T: Copy> Turns<T> {
    fn of(all: &'static [T], dice: Rng) -> Self {
        let left = Vec::new();
        Self { all, left, dice }
    }

    fn next(&mut self) -> T {
        if self.left.is_empty() {
            self.left.extend(self.all);
            self.dice.shuffle(&mut self.left);
        }
        self.left.pop().unwrap()
    }
}

/// A time of peace: now and then long enough for everything to be well again.
fn pause(dice: &mut Rng) -> Duration {
    let milliseconds = if dice.u8(0..4) == 0 {
        6500..9000
    } else {
        300..2000
    };
    Duration::from_millis(dice.u64(milliseconds))
}

/// How long a fault lasts. In a long run, it is sometimes longer than a process that is cut off trusts its entries.
fn length(dice: &mut Rng, is_long: bool) -> Duration {
    let milliseconds = match dice.u8(0..6) {
        0 if is_long => 10_500..13_000,
        1..3 if is_long => 1500..5000,
        _ => 200..1500,
    };
    Duration::from_millis(dice.u64(milliseconds))
}

/// Troubles the database until then; each process reaches it through a proxy, and has an account.
pub async fn inject_store_faults(
    server: &mut SqlServer,
    ways: [&TcpProxy; 2],
    accounts: [&str; 2],
    world: &World,
    (run, dice): (Run, Rng),
) {
    let mut turns = Turns::of(&STORE_FAULTS, dice);
    let faults = &world.faults;
    while world.goes_on(run) {
        sleep(pause(&mut turns.dice)).await;
        let (fault, length) = (turns.next(), length(&mut turns.dice, run.is_long()));
        faults.count(fault);
        faults.store.open();
        match fault {
            StoreFault::StoreFrozen => {
                server.process.freeze().await;
                sleep(length).await;
                server.process.thaw();
            }
            StoreFault::StoreKilled => {
                server.process.kill();
                sleep(length).await;
                server.start().await;
            }
            StoreFault::TablesLocked => {
                let lock = TableLock::of(server).await;
                sleep(length).await;
                lock.release().await;
            }
            StoreFault::SessionsKilled => kill_sessions(server, accounts).await,
            StoreFault::StoreSlow => {
                let late = Duration::from_millis(turns.dice.u64(20..400));
                set_mode_for(ways, Mode::Late(late), length).await;
            }
            StoreFault::StoreTooSlow => {
                set_mode_for(ways, Mode::Late(Duration::from_millis(2500)), length).await;
            }
            StoreFault::StoreConnectionsClosed => set_mode_for(ways, Mode::Closed, length).await,
        }
        faults.store.close();
    }
}

async fn set_mode_for(ways: [&TcpProxy; 2], mode: Mode, length: Duration) {
    for way in ways {
        way.set_mode(mode);
    }
    sleep(length).await;
    for way in ways {
        way.set_mode(PROMPT);
    }
}

async fn kill_sessions(server: &SqlServer, accounts: [&str; 2]) {
    let mut admin = server.admin().await;
    for account in accounts {
        let ids: Vec<i64> = sqlx::query_scalar(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?",
        )
        .bind(account)
        .fetch_all(&mut admin)
        .await
        .unwrap();
        for id in ids {
            // A session that has already ended is fine too.
            let _ = admin
                .execute(sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}"))))
                .await;
        }
    }
}

/// Troubles Redis, or one process's way to it, until then.
pub async fn inject_redis_faults(
    redis: &mut RedisServer,
    ways: [&TcpProxy; 2],
    world: &World,
    (run, dice): (Run, Rng),
) {
    let mut turns = Turns::of(&REDIS_FAULTS, dice);
    let faults = &world.faults;
    while world.goes_on(run) {
        sleep(pause(&mut turns.dice)).await;
        let (fault, length) = (turns.next(), length(&mut turns.dice, run.is_long()));
        faults.count(fault);
        let one = turns.dice.usize(0..2);
        let met_by = match fault {
            RedisFault::OneWaySilent
            | RedisFault::OneWayClosed
            | RedisFault::OneWaySlow
            | RedisFault::OneWayLost => vec![one],
            _ => vec![0, 1],
        };
        for process in &met_by {
            faults.redis[*process].open();
        }
        match fault {
            RedisFault::RedisFrozen => {
                redis.process.freeze().await;
                sleep(length).await;
                redis.process.thaw();
            }
            RedisFault::RedisKilled => {
                redis.process.kill();
                sleep(length).await;
                redis.start().await;
            }
            RedisFault::RedisFlushed => command(redis, &["FLUSHALL"]).await,
            RedisFault::RedisClientsKilled => {
                for kind in ["normal", "pubsub"] {
                    command(redis, &["CLIENT", "KILL", "TYPE", kind]).await;
                }
            }
            RedisFault::RedisPaused => {
                let milliseconds = length.as_millis().to_string();
                command(redis, &["CLIENT", "PAUSE", &milliseconds]).await;
                sleep(length).await;
            }
            RedisFault::OneWaySilent => set_mode_for([ways[one]; 2], Mode::Silent, length).await,
            RedisFault::OneWayClosed => set_mode_for([ways[one]; 2], Mode::Closed, length).await,
            RedisFault::OneWaySlow => {
                set_mode_for([ways[one]; 2], Mode::Late(Duration::from_secs(1)), length).await;
            }
            RedisFault::OneWayLost => {
                ways[one].lose_connections();
                // The connection is given up after this time.
                sleep(Duration::from_secs(3)).await;
            }
        }
        for process in met_by {
            faults.redis[process].close();
        }
    }
}

async fn command(redis: &RedisServer, words: &[&str]) {
    redis.command(words).await.unwrap();
}
