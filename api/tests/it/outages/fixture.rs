//! The service over a real server with some users, and the allowed answers during and after failures of the store.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::{Answer, Client};
use crate::harness::eventually::eventually;
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::sql_server::connection_sampler::ConnectionSampler;
use crate::harness::sql_server::{Flavour, RECKON, ROOT, SqlServer};
use crate::harness::watchdog::Scratch;

/// Every connection that the service may have.
pub const POOL: i64 = 4;

/// Answers expire within a second; the answer for a user without rows stays fresh.
const CACHE: &str = "cache: {memory: {ttlSeconds: 1, emptyTtlSeconds: 300}}";

/// The sizes of a pool: as settings, and as minimum and maximum number of connections.
type Sizes = (&'static str, i64, i64);

thread_local! {
    static SIZES: Cell<Sizes> = const { Cell::new(("poolSize: 4", 1, POOL)) };
}

/// From now on, services that this test starts have a pool that grows and shrinks.
pub fn use_elastic_pools() {
    SIZES.set(("minPoolSize: 2, poolSize: 10", 2, 10));
}

pub fn most_connections() -> i64 {
    SIZES.get().2
}

/// Users that have rows.
const USERS: std::ops::RangeInclusive<i64> = 1..=400;
/// Those of them that [`Fixture::send_load`] asks for.
const BUSY: std::ops::RangeInclusive<i64> = 101..=300;
/// A user that is asked for before the store fails.
pub const CACHED: i64 = 1;
/// A user that is asked for before the store fails, and invalidated while it does.
const INVALIDATED: i64 = 2;
/// A user without rows that is requested before the store fails.
const WITHOUT_ROWS: i64 = 401;
/// A user that nobody asks for before the store fails.
pub const UNCACHED: i64 = 301;

/// A request's wait for the store (`queryTimeoutMilliseconds`), plus the delay of a busy machine.
pub const MAX_WAIT: Duration = Duration::from_secs(2 + 2);
/// Time for an answer that waits for nothing, on a busy machine: less than half of the wait for the store.
const AT_ONCE: Duration = Duration::from_millis(900);
/// Time until a failure is known: the prober's period and its patience.
const DETECTED_WITHIN: Duration = Duration::from_secs(10);
/// All is well so long after the store is.
pub const RECOVERED_WITHIN: Duration = Duration::from_secs(5);

/// All that a client is ever told of a failing store.
const DETAILS: [&str; 3] = [
    "the database is unavailable; retry later",
    "the database did not answer in time; retry later",
    "too many requests are waiting for the database; retry later",
];

/// The service and its store.
pub struct Fixture {
    name: String,
    pub api: ApiProcess,
    pub client: Client,
    pub server: SqlServer,
    sampler: Option<ConnectionSampler>,
    /// Whether the server has no place for every connection of the service, because of others.
    pub server_is_full: bool,
    _directory: Scratch,
}

impl Fixture {
    /// A ready service that was asked for [`CACHED`] and others just now.
    pub async fn ready(name: &str, flavour: Flavour) -> Self {
        let server = flavour.start().await;
        fill(&server, "reckon").await;
        Self::ready_over(name, server).await
    }

    /// The same, over a server that has been filled.
    pub async fn ready_over(name: &str, server: SqlServer) -> Self {
        let mut fixture = Self::over(name, server, |api| api).await;
        fixture.count_connections().await;
        fixture.api.ready().await;
        fixture.fill_cache().await;
        fixture
    }

    /// A live service over `server`, which need not exist.
    pub async fn over(
        name: &str,
        server: SqlServer,
        also: impl FnOnce(ApiCommand) -> ApiCommand,
    ) -> Self {
        let directory = Scratch::new(&std::env::temp_dir(), "reckon-outage-");
        let tuning = directory.path().join("tuning.yaml");
        std::fs::write(
            &tuning,
            format!("{{store: {{{}}}, {CACHE}}}", SIZES.get().0),
        )
        .unwrap();
        let api = ApiCommand::new()
            .envs(server.environment("reckon"))
            .env("RECKON_TUNING", &tuning);
        let api = also(api).spawn();
        api.live().await;
        Self {
            name: name.to_owned(),
            client: api.client(),
            api,
            server,
            sampler: None,
            server_is_full: false,
            _directory: directory,
        }
    }

    /// From now on, the server's sessions are sampled all the time, and it rejects connections beyond the pool.
    pub async fn count_connections(&mut self) {
        self.server
            .allow_connections(RECKON.name, most_connections())
            .await;
        self.sampler = Some(self.server.sample_connections(RECKON.name).await);
    }

    /// Uses the samples of `sampler`, which began before the service.
    pub fn count_with(&mut self, sampler: ConnectionSampler) {
        self.sampler = Some(sampler);
    }

    /// Puts the users that are asked for before a failure into the cache.
    pub async fn fill_cache(&self) {
        for user in [CACHED, INVALIDATED, WITHOUT_ROWS] {
            let answer = self.recommend(user).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }

    /// Asks for a user; panics unless the answer is one that a client may get at any time.
    pub async fn recommend(&self, user: i64) -> Answer {
        let answer = self.client.get(&format!("/recommend/{user}")).await;
        check(user, &answer);
        answer
    }

    /// Clients, more than there are connections, that ask for users now and then, until stopped.
    pub fn send_load(&self) -> Load {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..24 {
            let (client, stopped) = (self.client.clone(), Arc::clone(&stopped));
            clients.spawn(async move {
                let mut tally = Tally::default();
                while !stopped.load(Ordering::Relaxed) {
                    let user = fastrand::i64(BUSY);
                    tally.add(
                        user,
                        &client
                            .send(Method::GET, &format!("/recommend/{user}"), "")
                            .await,
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                tally
            });
        }
        Load {
            name: self.name.clone(),
            clients,
            stopped,
        }
    }

    /// Returns when the service knows that the store is down, and why; all that a client may then see holds.
    pub async fn becomes_unavailable(&self, reason: &str) {
        let began = Instant::now();
        self.becomes_unhealthy(reason).await;
        let said = began.elapsed();
        // What is known is answered at once: the first to ask may still have to wait.
        eventually(DETECTED_WITHIN, async || {
            self.recommend(UNCACHED).await.elapsed < AT_ONCE
        })
        .await;
        let known = began.elapsed();
        let mut waits = Vec::new();
        for user in UNCACHED..UNCACHED + 20 {
            let answer = self.recommend(user).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
            waits.push(answer.elapsed);
        }
        waits.sort();
        // The machine may delay a single request. A request that waits for the store would be slow each time.
        let usual = waits[waits.len() / 2];
        assert!(usual < AT_ONCE, "{waits:?}");
        self.exposes_no_secret().await;
        println!(
            "{}: unhealthy ({reason}) after {said:?}, 503 at once after {known:?}, then within {usual:?}",
            self.name
        );
    }

    /// Returns when the prober has reported the outage. A prober whose session was killed during a probe first waits until the
    /// server must have ended the probe.
    pub async fn prober_reports_outage(&self) {
        eventually(DETECTED_WITHIN, async || {
            self.figure("reckon_store_up").await == 0
        })
        .await;
    }

    /// While the store is down: what was asked for before it is answered, what was invalidated is not.
    pub async fn cached_answers_are_served(&self) {
        let hit = self.recommend(WITHOUT_ROWS).await;
        assert_eq!(hit.header("x-cache"), Some("HIT"), "{hit:?}");
        for user in [CACHED, INVALIDATED] {
            eventually(RECOVERED_WITHIN, async || {
                let answer = self.recommend(user).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                answer.header("x-cache") == Some("STALE")
            })
            .await;
        }
        self.invalidated_user_is_rejected().await;

        let path = format!("/batch-recommend?user_ids={CACHED},{INVALIDATED},{WITHOUT_ROWS}");
        let some = self.client.get(&path).await;
        assert_eq!(some.status, 200, "{}", some.body);
        let batch = some.json();
        for (figure, expected) in [
            ("successful", 2),
            ("failed", 1),
            ("cache_hits", 2),
            ("stale", 1),
        ] {
            assert_eq!(batch[figure], expected, "{batch}");
        }
        assert_eq!(
            batch["results"],
            json!([truth(CACHED), truth(WITHOUT_ROWS)]),
            "{batch}"
        );
        let error = &batch["errors"][0];
        assert_eq!(error["user_id"], INVALIDATED, "{batch}");
        assert!(
            DETAILS.contains(&error["error"].as_str().unwrap()),
            "{batch}"
        );
        let path = format!("/batch-recommend?user_ids={INVALIDATED},{UNCACHED}");
        check_503(&self.client.get(&path).await);
    }

    /// Invalidates a cached user; the answer is a refusal.
    pub async fn invalidated_user_is_rejected(&self) -> Answer {
        let path = format!("/invalidate-cache/{INVALIDATED}");
        let invalidation = self.client.post(&path).await;
        assert_eq!(invalidation.status, 200, "{}", invalidation.body);
        let answer = self.recommend(INVALIDATED).await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        answer
    }

    /// `/health` says so.
    pub async fn becomes_unhealthy(&self, reason: &str) {
        eventually(DETECTED_WITHIN, async || self.unhealthy(reason).await).await;
    }

    /// Whether `/health` reports this reason.
    async fn unhealthy(&self, reason: &str) -> Result<(), String> {
        let health = self.client.get("/health").await;
        let mut told = health.json();
        let told = told.as_object_mut().unwrap();
        for figure in ["memory_cache_size", "memory_cache_limit"] {
            told.remove(figure).unwrap();
        }
        // Absent while no session is open.
        told.remove("connection_limit");
        let (_, least, most) = SIZES.get();
        let expected = json!({"status": "unhealthy", "database": "disconnected", "database_error": reason,
            "redis": "disabled", "model": {}, "pool_size": format!("{least}-{most}")});
        let is_so = health.status == 503 && expected.as_object() == Some(told);
        is_so
            .then_some(())
            .ok_or_else(|| format!("{} {}", health.status, health.body))
    }

    /// `/readyz` returns 200, or 503 if the service was never ready.
    pub async fn is_ready(&self, ready: bool) {
        let answer = self.api.ops().get("/readyz").await;
        let expected = if ready { 200 } else { 503 };
        assert_eq!(answer.status, expected, "{}", answer.body);
        assert_eq!(self.api.ops().get("/livez").await.status, 200);
    }

    /// Returns when the service is as well as its store, soon: every user is answered, truly, without a restart.
    pub async fn recovers(&self) {
        let ended = Instant::now();
        eventually(RECOVERED_WITHIN, async || {
            let health = self.client.get("/health").await;
            let answer = self.recommend(UNCACHED).await;
            if health.status == 200 && answer.status == 200 {
                Ok(())
            } else {
                Err(format!("{} and {}", health.body, answer.body))
            }
        })
        .await;
        let well = ended.elapsed();
        let users: Vec<i64> = USERS.chain([WITHOUT_ROWS]).collect();
        for users in users.chunks(50) {
            let paths = users.iter().map(|user| format!("/recommend/{user}"));
            let answers = self.client.get_concurrently(paths).await;
            for (user, answer) in users.iter().zip(answers) {
                let answer = answer.unwrap();
                check(*user, &answer);
                assert_eq!(answer.status, 200, "{answer:?}");
                assert_ne!(answer.header("x-cache"), Some("STALE"), "{answer:?}");
            }
        }
        self.is_ready(true).await;
        self.exposes_no_secret().await;
        println!(
            "{}: well again after {:.2} s",
            self.name,
            well.as_secs_f64()
        );
        self.is_within_its_connections().await;
    }

    /// The server never had more connections or statements of ours than the pool has places.
    pub async fn is_within_its_connections(&self) {
        let open = self.server.sessions(RECKON.name).await.open;
        let most = most_connections();
        let peak = self.sampler.as_ref().unwrap().peak();
        println!("{}: {open} connections, {peak:?}", self.name);
        assert!(
            peak.looks > 0 && peak.open <= most && peak.running <= most,
            "{peak:?}"
        );
        let refused = self.refused_connections().await;
        assert!(self.server_is_full || refused == 0, "{refused}");
    }

    /// How many connections the server rejected because of the limit.
    pub async fn refused_connections(&self) -> i64 {
        let metrics = self.api.ops().get("/metrics").await.body;
        refused_connections(&metrics)
    }

    /// A figure of `/metrics`.
    pub async fn figure(&self, name: &str) -> i64 {
        let metrics = self.api.ops().get("/metrics").await.body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {metrics}"))
            .parse()
            .unwrap()
    }

    /// Neither logs nor figures say a password.
    async fn exposes_no_secret(&self) {
        let mut texts = self.api.process.logs();
        texts.push(self.api.ops().get("/metrics").await.body);
        texts.push(self.client.get("/stats").await.body);
        for text in texts {
            for secret in [RECKON.password, ROOT.password, "another-password"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }

    /// The log has one line for each of `reasons` and one for each end, and few others. Lines of single requests, which
    /// have their own limit (`access_log`), do not count.
    pub fn logs_are_short(&self, reasons: &[&str], ends: usize) {
        let logs = self.api.process.logs();
        let lines: Vec<Value> = logs
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &Value| line["message"] != "request")
            .collect();
        let begun: Vec<&str> = lines
            .iter()
            .filter(|line| line["message"] == "store unavailable")
            .map(|line| line["reason"].as_str().unwrap())
            .collect();
        let ended = lines
            .iter()
            .filter(|line| line["message"] == "store available again");
        assert_eq!(begun, reasons, "{logs:#?}");
        assert_eq!(ended.count(), ends, "{logs:#?}");
        assert!(lines.len() <= 6 + reasons.len() + ends, "{logs:#?}");
        assert!(
            lines.iter().all(|line| line["level"] != "ERROR"),
            "{logs:#?}"
        );
        println!("{}: {} lines in the log", self.name, lines.len());
    }
}

/// The same in the text of `/metrics`.
pub fn refused_connections(metrics: &str) -> i64 {
    let name = "reckon_store_connections_refused_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.map_or(0, |count| count.parse().unwrap())
}

/// Creates the tables in `database` with every user's rows.
pub async fn fill(server: &SqlServer, database: &str) {
    OriginalTables::default().create(server, database).await;
    server
        .execute(format!(
            "USE `{database}`; ALTER TABLE searches ADD INDEX (id); ALTER TABLE purchase ADD INDEX (id)"
        ))
        .await;
    let histories: Vec<History> = USERS.map(history).collect();
    insert(server, database, &histories).await;
}

/// Two searches and one purchase in categories of the user's own.
fn history(user: i64) -> History {
    let (liked, tried) = (format!("liked by {user}"), format!("tried by {user}"));
    History::newest_first(user, &[liked.as_str(), &liked], &[tried.as_str()])
}

/// The only right answer for `user`.
pub fn truth(user: i64) -> Value {
    if !USERS.contains(&user) {
        return json!({
            "user_id": user,
            "recommendations": {"weightage": 0.0, "search_weight": 0.0, "purchase_weight": 0.0,
                "recommended_categories": [], "explore_categories": []},
            "metadata": {"search_count": 0, "purchase_count": 0, "algorithm": "NextBasket"},
            "message": "No data found for this user",
        });
    }
    json!({
        "user_id": user,
        "recommendations": {"weightage": 2.2, "search_weight": 2.1, "purchase_weight": 0.1,
            "recommended_categories": [format!("liked by {user}"), format!("tried by {user}")], "explore_categories": []},
        "metadata": {"search_count": 2, "purchase_count": 1, "algorithm": "NextBasket"},
    })
}

/// Checks that an answer is right and marked, or a proper rejection, and that it arrives in time.
fn check(user: i64, answer: &Answer) {
    if answer.status == 200 {
        assert_eq!(answer.json(), truth(user));
        let source = answer.header("x-cache").unwrap();
        assert!(["HIT", "MISS", "STALE"].contains(&source), "{source}");
        assert!(answer.elapsed < MAX_WAIT, "{answer:?}");
    } else {
        check_503(answer);
    }
}

/// A 503 that says when to come back, in a known sentence and with nothing else, in time.
fn check_503(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    let problem = answer.json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(DETAILS.contains(&detail), "{problem}");
    let expected = json!({"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": detail});
    assert_eq!(problem, expected);
    assert!(answer.elapsed < MAX_WAIT, "{answer:?}");
}

/// Answers by kind: how many, and the slowest.
#[derive(Default)]
pub struct Tally(BTreeMap<String, (usize, Duration)>);

impl Tally {
    /// Checks an answer and counts it.
    pub fn add(&mut self, user: i64, answer: &anyhow::Result<Answer>) {
        let answer = answer.as_ref().unwrap();
        check(user, answer);
        let kind = answer.header("x-cache").map_or("503", |source| source);
        let (count, slowest) = self.0.entry(kind.to_owned()).or_default();
        *count += 1;
        *slowest = answer.elapsed.max(*slowest);
    }

    /// How many answers were of this kind: `HIT`, `MISS`, `STALE` or `503`.
    pub fn count(&self, kind: &str) -> usize {
        self.0.get(kind).map_or(0, |(count, _)| *count)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, (count, slowest)) in &self.0 {
            write!(formatter, " {kind}: {count} (slowest {slowest:?})")?;
        }
        Ok(())
    }
}

/// Clients that continue until they are stopped.
pub struct Load {
    name: String,
    clients: JoinSet<Tally>,
    stopped: Arc<AtomicBool>,
}

impl Load {
    /// Waits for the requests in flight. Every answer must be right or a proper rejection, and in time.
    pub async fn stop(self) -> Tally {
        self.stopped.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for tally in self.clients.join_all().await {
            for (kind, (count, slowest)) in tally.0 {
                let sum = all.0.entry(kind).or_default();
                *sum = (sum.0 + count, sum.1.max(slowest));
            }
        }
        println!("{}:{all}", self.name);
        all
    }
}
