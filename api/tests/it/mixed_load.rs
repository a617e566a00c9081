//! Everything at once: two processes over one database and one Redis, both of which fail at random, while clients send
//! all kinds of requests, the data change and two models replace each other. Each answer is compared with the true data
//! of its time, and with the model that it names.
//!
//! Half a minute, or as many seconds as `RECKON_MIXED_LOAD_SECONDS` says, and longer while a kind of answer is missing:
//! `RECKON_MIXED_LOAD_SECONDS=600 cargo test --test it mixed_load -- --nocapture`
//!
//! It prints its seed; with `RECKON_MIXED_LOAD_SEED`, each caller and each fault makes the same choices again.

mod callers;
mod faults;
mod truth;

use std::collections::BTreeSet;
use std::env;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reckon_api::trained::TrainedModel;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::callers::{Caller, Tally};
use self::faults::{Faults, inject_redis_faults, inject_store_faults};
use self::truth::{CHANGING, Truth, USERS, category, history};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::connection_sampler::{ConnectionSampler, Peak};
use crate::harness::sql_server::{Flavour, RECKON, ROOT, SqlServer};
use crate::harness::tcp_proxy::TcpProxy;
use crate::outages::fixture::refused_connections;

const KEY: &str = "key-of-the-mixed-load-7Hq2";
const REDIS_PASSWORD: &str = "password-of-redis-3kXw";
const SOON: Duration = Duration::from_secs(15);
/// Minimum and maximum of each process's connections. The first process uses all of its connections.
const POOLS: [(i64, i64); 2] = [(4, 4), (2, 10)];
/// The account of each process.
const ACCOUNTS: [&str; 2] = [RECKON.name, "two"];
const READERS_EACH: usize = 8;
/// Memory entries expire soon, and not all of them fit. On a busy machine, a Redis without a fault misses the default
/// time limit of 50 ms several times in a row, and `/health` rightly says that it is slow.
const TUNING: &str = "cache: {memory: {maxBytes: 262144, ttlSeconds: 1, emptyTtlSeconds: 2}, \
                      shared: {ttlSeconds: 3, timeoutMilliseconds: 500}}\n";
/// The pool of the second one grows and shrinks.
const STORES: [&str; 2] = [
    "store: {poolSize: 4}",
    "store: {minPoolSize: 2, poolSize: 10}",
];
/// Time between publications: longer than the two looks at the file that a process needs.
const MODEL_PERIOD: Duration = Duration::from_secs(12);
/// Maximum growth of a process's memory in the second half of a run.
const GROWTH: usize = 12 << 20;
/// Without these kinds of answers, a run would prove nothing.
const NEEDED: [&str; 9] = [
    "HIT",
    "MISS",
    "STALE",
    "503",
    "batch",
    "batch in part",
    "invalidated",
    "not confirmed",
    "degraded",
];
/// Maximum extension of a run in which one of them is missing. One run in a hundred needs one.
const EXTENSION: Duration = Duration::from_mins(1);

/// The length of a run.
#[derive(Clone, Copy)]
pub struct Run {
    began: Instant,
    until: Instant,
    seed: u64,
}

impl Run {
    fn begin() -> Self {
        let seconds = env::var("RECKON_MIXED_LOAD_SECONDS");
        let seconds = seconds.map_or(30, |seconds| seconds.parse().unwrap());
        let seed = env::var("RECKON_MIXED_LOAD_SEED");
        let seed = seed.map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        println!("RECKON_MIXED_LOAD_SEED={seed}");
        let began = Instant::now();
        let until = began + Duration::from_secs(seconds);
        Self { began, until, seed }
    }

    /// The random numbers of one caller or fault; each has its own.
    fn dice(self, whose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_add(whose))
    }

    /// Whether a run is long enough for faults that last longer than a process trusts its entries.
    fn is_long(self) -> bool {
        self.until - self.began > Duration::from_mins(2)
    }
}

/// The state that callers share.
pub struct World {
    truth: Truth,
    faults: Faults,
    /// The addresses of the processes.
    processes: [SocketAddr; 2],
    /// The kinds of right answers so far.
    met: Mutex<BTreeSet<String>>,
    over: AtomicBool,
}

impl World {
    fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }

    /// What is still missing for the run to prove something.
    fn missing(&self) -> Vec<&'static str> {
        let met = self.met.lock().unwrap();
        let mut missing: Vec<_> = NEEDED
            .into_iter()
            .filter(|kind| !met.contains(*kind))
            .collect();
        if self.truth.answers_by_model().contains(&0) {
            missing.push("both models");
        }
        missing
    }

    /// Whether faults, and publications of models, go on.
    fn goes_on(&self, run: Run) -> bool {
        let now = Instant::now();
        now < run.until || (now < run.until + EXTENSION && !self.missing().is_empty())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_correct_whatever_fails_and_nothing_leaks() {
    let (mut server, mut redis) = tokio::join!(database(), redis());
    let directory = tempfile::tempdir().unwrap();
    let store_ways = [
        TcpProxy::to(server.port()).await,
        TcpProxy::to(server.port()).await,
    ];
    let redis_ways = [
        TcpProxy::to(redis.port()).await,
        TcpProxy::to(redis.port()).await,
    ];
    let truth = Truth::new();
    let model = directory.path().join("model");
    publish(&model, &truth.models()[0]);
    let mut apis = [0, 1].map(|process| {
        start(
            process,
            &server,
            store_ways[process].port(),
            redis_ways[process].port(),
            directory.path(),
        )
    });
    for api in &apis {
        api.ready().await;
        let client = api.client();
        eventually(SOON, async || {
            client.get("/health").await.json()["redis"] == "connected"
        })
        .await;
    }
    let samplers = [
        server.sample_connections(ACCOUNTS[0]).await,
        server.sample_connections(ACCOUNTS[1]).await,
    ];
    let world = Arc::new(World {
        truth,
        faults: Faults::default(),
        processes: [0, 1].map(|process: usize| apis[process].backend().serve),
        met: Mutex::default(),
        over: AtomicBool::new(false),
    });

    let run = Run::begin();
    let mut callers = JoinSet::new();
    for number in 0..2 * READERS_EACH {
        let (world, dice) = (Arc::clone(&world), run.dice(number as u64));
        callers.spawn(async move { Caller::of(&world, number % 2, dice).read().await });
    }
    for parity in 0..2 {
        let (world, options) = (Arc::clone(&world), server.options(ROOT));
        let dice = [100, 200, 300].map(|whose| run.dice(whose + parity));
        callers.spawn(
            async move { write(&world, options, i64::try_from(parity).unwrap(), dice).await },
        );
    }
    let ((), (), (), memory) = tokio::join!(
        inject_store_faults(
            &mut server,
            store_ways.each_ref(),
            ACCOUNTS,
            &world,
            (run, run.dice(400)),
        ),
        inject_redis_faults(
            &mut redis,
            redis_ways.each_ref(),
            &world,
            (run, run.dice(500)),
        ),
        publish_in_turn(&model, &world, run),
        watch_memory(&apis, &world, run),
    );
    // Everything works again, and the processes have observed it.
    sleep(Duration::from_secs(10)).await;
    world.over.store(true, Relaxed);
    let mut tally = Tally::default();
    for met in callers.join_all().await {
        tally.add(met);
    }

    let peaks = samplers.each_ref().map(ConnectionSampler::peak);
    assert_complete(&tally, &world, peaks, run);
    memory.is_flat();
    leaves_nothing_behind(&mut apis, &server, &redis).await;
}

/// And everything that was to be met was met.
fn assert_complete(tally: &Tally, world: &World, peaks: [Peak; 2], run: Run) {
    println!(
        "{:.0} s: {} answers, {} histories in them, {} wrong; {:?}\nfaults {:?}\n{} connections of clients, {} lost; slowest \
         answer {:?}; greatest lag behind the other process {:?}, behind itself none\nby model {:?}; most at the database: {peaks:?}",
        run.began.elapsed().as_secs_f64(),
        tally.answers(),
        tally.histories,
        tally.wrong.len(),
        tally.right,
        world.faults.counts(),
        tally.connections,
        tally.lost.len(),
        tally.slowest,
        tally.lag,
        world.truth.answers_by_model(),
    );
    let some = |list: &[String]| list.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(tally.wrong.is_empty(), "{}", some(&tally.wrong));
    assert!(tally.lost.is_empty(), "{}", some(&tally.lost));
    assert_eq!(world.missing(), Vec::<&str>::new());
    for (peak, (_, most)) in peaks.iter().zip(POOLS) {
        assert!(
            peak.looks > 0 && peak.open <= most && peak.running <= most,
            "{peak:?}"
        );
    }
}

async fn database() -> SqlServer {
    let server = Flavour::MariaDb.start_with(&["--max-connections=60"]).await;
    OriginalTables::default().create(&server, "reckon").await;
    let histories: Vec<History> = (1..=USERS).map(history).collect();
    insert(&server, "reckon", &histories).await;
    server
        .execute(format!(
            "ALTER TABLE reckon.searches ADD INDEX (id); ALTER TABLE reckon.purchase ADD INDEX (id); \
             CREATE USER '{two}'@'%' IDENTIFIED BY '{password}'; GRANT SELECT ON reckon.* TO '{two}'@'%'",
            two = ACCOUNTS[1],
            password = RECKON.password,
        ))
        .await;
    for (account, (_, most)) in ACCOUNTS.into_iter().zip(POOLS) {
        server.allow_connections(account, most).await;
    }
    server
}

async fn redis() -> RedisServer {
    let password = format!(">{REDIS_PASSWORD}");
    let user = ["--user", "reckon", "on", &password, "~*", "&*", "+@all"];
    RedisServer::running_with(&user).await
}

fn start(
    process: usize,
    server: &SqlServer,
    store: u16,
    redis: u16,
    directory: &Path,
) -> ApiProcess {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    ApiCommand::new()
        .envs(server.environment("reckon"))
        .env("DB_PORT", store.to_string())
        .env("DB_USER", ACCOUNTS[process])
        .env(
            "REDIS_URL",
            format!("redis://reckon:{REDIS_PASSWORD}@127.0.0.1:{redis}"),
        )
        // The processes reach the same database on different ways.
        .env("RECKON_IDENTITY", "shop")
        .env(
            "RECKON_TUNING",
            file(
                &format!("tuning-{process}.yaml"),
                &format!("{TUNING}{}", STORES[process]),
            ),
        )
        .env("RECKON_API_KEYS", file("keys", KEY))
        .env("RECKON_MODEL", directory.join("model"))
        .spawn()
}

/// Replaces the file of the model.
fn publish(path: &Path, model: &TrainedModel) {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, model.document()).unwrap();
    std::fs::rename(&partial, path).unwrap();
}

async fn publish_in_turn(path: &Path, world: &World, run: Run) {
    for model in world.truth.models().iter().rev().cycle() {
        sleep(MODEL_PERIOD).await;
        if !world.goes_on(run) {
            return;
        }
        publish(path, model);
    }
}

/// Changes the rows of every second user, and invalidates at either process, until the end.
async fn write(
    world: &World,
    options: MySqlConnectOptions,
    parity: i64,
    [mut dice, one, other]: [fastrand::Rng; 3],
) -> Tally {
    let mut callers = [Caller::of(world, 0, one), Caller::of(world, 1, other)];
    let mut session = None;
    while !world.is_over() {
        let user = match dice.u8(0..2) {
            0 => dice.i64(0..10) * 2 + 1 + parity,
            _ => dice.i64(0..CHANGING / 2) * 2 + 1 + parity,
        };
        let version = world.truth.begin(user);
        while !update(&mut session, &options, user, version).await {
            if world.is_over() {
                break;
            }
        }
        let path = match dice.u16(0..400) {
            0 => "/all".to_owned(),
            1..80 => format!("?user_ids={},{user}", dice.i64(1..=CHANGING)),
            _ => format!("/{user}"),
        };
        // If an invalidation is not confirmed, the caller retries, or uses another process.
        while !world.is_over() {
            let process = dice.usize(0..2);
            let path = format!("/invalidate-cache{path}");
            let confirmed =
                timeout(Duration::from_secs(2), callers[process].invalidate(&path)).await;
            match confirmed {
                Ok(true) => {
                    world.truth.confirm(process, user, version);
                    break;
                }
                Ok(false) => {}
                // In the middle of a request: its connection is of no use any more.
                Err(_) => callers[process].disconnect(),
            }
        }
        sleep(Duration::from_millis(dice.u64(2..40))).await;
    }
    let mut tally = Tally::default();
    for caller in callers {
        tally.add(caller.tally);
    }
    tally
}

/// Whether it is certain that the version was written. If not, it may have been.
async fn update(
    session: &mut Option<MySqlConnection>,
    options: &MySqlConnectOptions,
    user: i64,
    version: u64,
) -> bool {
    let sql = format!(
        "UPDATE reckon.searches SET category = '{}' WHERE id = {user}",
        category(user, version)
    );
    let writing = async {
        let mut open = match session.take() {
            Some(open) => open,
            None => MySqlConnection::connect_with(options).await?,
        };
        open.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        *session = Some(open);
        Ok::<_, sqlx::Error>(())
    };
    // For a while, a killed server cannot be distinguished from a frozen one.
    let written = timeout(Duration::from_secs(20), writing).await;
    let is_written = matches!(written, Ok(Ok(())));
    if !is_written {
        sleep(Duration::from_millis(20)).await;
    }
    is_written
}

/// The resident memory of the two processes, second by second.
struct Memory(Vec<[usize; 2]>);

async fn watch_memory(apis: &[ApiProcess; 2], world: &World, run: Run) -> Memory {
    let mut seen = Vec::new();
    while world.goes_on(run) {
        sleep(Duration::from_secs(1)).await;
        let resident = apis.each_ref().map(|api| api.process.resident_bytes());
        seen.push(resident);
        if seen.len().is_multiple_of(60) {
            println!(
                "minute {}: {:?} KiB",
                seen.len() / 60,
                resident.map(|bytes| bytes >> 10)
            );
        }
    }
    Memory(seen)
}

impl Memory {
    /// The second half of the time must not need more than the first, apart from busy moments.
    fn is_flat(&self) {
        let (first, second) = self.0.split_at(self.0.len() / 2);
        for process in 0..2 {
            let most = |half: &[[usize; 2]]| half.iter().map(|seen| seen[process]).max().unwrap();
            let (before, after) = (most(first), most(second));
            println!(
                "process {process}: {} KiB in the beginning, {} at most in the first half, {} in the second, {} at the end",
                self.0[0][process] >> 10,
                before >> 10,
                after >> 10,
                self.0[self.0.len() - 1][process] >> 10
            );
            assert!(after < before + GROWTH, "{before} bytes, then {after}");
        }
    }
}

/// All workers are usable, and all connections are closed at the end of the process.
async fn leaves_nothing_behind(
    apis: &mut [ApiProcess; 2],
    server: &SqlServer,
    redis: &RedisServer,
) {
    for ((api, account), (least, most)) in apis.iter().zip(ACCOUNTS).zip(POOLS) {
        let client = api
            .client()
            .with_header("authorization", &format!("Bearer {KEY}"));
        assert_eq!(client.post("/invalidate-cache/all").await.status, 200);
        let paths = (1..=USERS).map(|user| format!("/recommend/{user}"));
        for answer in client.get_concurrently(paths).await {
            assert_eq!(answer.unwrap().status, 200);
        }
        eventually(SOON, async || {
            let open = server.sessions(account).await.open;
            (least..=most).contains(&open).then_some(()).ok_or(open)
        })
        .await;
        let metrics = api.ops().get("/metrics").await.body;
        assert_eq!(refused_connections(&metrics), 0);
        let logs = api.process.logs();
        let error = logs
            .iter()
            .find(|line| line.contains("\"ERROR\"") || line.contains("panicked"));
        assert!(error.is_none(), "{error:?}");
        for word in [RECKON.password, REDIS_PASSWORD, KEY] {
            assert!(logs.iter().all(|line| !line.contains(word)), "{word}");
        }
        println!("{} lines in the log", logs.len());
    }
    for (api, account) in apis.iter_mut().zip(ACCOUNTS) {
        assert!(api.process.stop().await.status.success());
        eventually(SOON, async || server.sessions(account).await.open == 0).await;
    }
    eventually(SOON, async || {
        let clients = redis.command(&["CLIENT", "LIST"]).await.unwrap().unwrap();
        let ours = clients
            .lines()
            .filter(|line| line.contains("user=reckon"))
            .count();
        (ours == 0).then_some(()).ok_or(clients)
    })
    .await;
}
