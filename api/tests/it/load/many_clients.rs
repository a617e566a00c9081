//! A thousand clients at once.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::generated_users::{DATABASE, assert_correct, assert_retry_later, database};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::{Answer, Client};
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use reckon_harness::exposition::Exposition;

const CLIENTS: i64 = 1000;
const REQUESTS_EACH: i64 = 4;
const USERS: i64 = CLIENTS * REQUESTS_EACH;
const POOL: i64 = 10;

/// The first answers of one run, user by user.
struct Run {
    answers: Vec<(i64, Answer)>,
    took: Duration,
}

impl Run {
    /// A thousand clients, each with its own connections, request four users each. No user is requested twice.
    async fn of(api: &ApiProcess) -> Self {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(send_requests(api.client(), client));
        }
        let answers = clients.join_all().await.into_iter().flatten().collect();
        Self {
            answers,
            took: began.elapsed(),
        }
    }

    fn with_status(&self, status: u16) -> impl Iterator<Item = &(i64, Answer)> {
        self.answers
            .iter()
            .filter(move |(_, answer)| answer.status == status)
    }

    fn print(&self, what: &str, figures: &Exposition) {
        let mut statuses = BTreeMap::<u16, usize>::new();
        for (_, answer) in &self.answers {
            *statuses.entry(answer.status.as_u16()).or_default() += 1;
        }
        let mut times: Vec<_> = self
            .answers
            .iter()
            .map(|(_, answer)| answer.elapsed)
            .collect();
        times.sort();
        let nth = |percent: usize| times[(times.len() - 1) * percent / 100];
        println!(
            "{what}: {} requests of {CLIENTS} clients in {:?}, statuses {statuses:?}, 50 % within {:?}, 99 % {:?}, all {:?}; \
             users a statement {:?}",
            self.answers.len(),
            self.took,
            nth(50),
            nth(99),
            nth(100),
            figures.buckets("reckon_loader_batch_users"),
        );
    }
}

async fn send_requests(client: Client, number: i64) -> Vec<(i64, Answer)> {
    let mut answers = Vec::new();
    for nth in 0..REQUESTS_EACH {
        let user = nth * CLIENTS + number;
        answers.push((user, client.get(&format!("/recommend/{user}")).await));
    }
    answers
}

/// An API with a pool of ten connections.
async fn start(server: &SqlServer, directory: &tempfile::TempDir, queue_length: u32) -> ApiProcess {
    let tuning = directory.path().join("tuning.yaml");
    // This test does not measure speed, because a busy machine is slow.
    let text = format!(
        "{{store: {{poolSize: {POOL}, queueLength: {queue_length}, queryTimeoutMilliseconds: 20000}}, \
         server: {{requestTimeoutMilliseconds: 25000}}}}"
    );
    std::fs::write(&tuning, text).unwrap();
    let api = ApiCommand::new()
        .envs(server.environment(DATABASE))
        .env("RECKON_TUNING", &tuning)
        .classic()
        .spawn();
    api.ready().await;
    api
}

/// Polls `/stats` until the crowd has left; some of the polls must have observed it.
async fn watched(run: impl Future<Output = Run>, client: Client) -> Run {
    let is_over = Cell::new(false);
    let crowd = async {
        let run = run.await;
        is_over.set(true);
        run
    };
    let watch = async {
        let mut looks = 0;
        while !is_over.get() {
            let stats = client.get("/stats").await.json();
            assert_within_the_pool(&stats);
            looks += usize::from(stats["requests_in_flight"].as_i64().unwrap() > 1);
            tokio::task::yield_now().await;
        }
        looks
    };
    let (run, looks) = tokio::join!(crowd, watch);
    println!("{looks} looks at /stats while the crowd was there");
    assert!(looks > 0);
    run
}

#[track_caller]
fn assert_within_the_pool(stats: &Value) {
    let connections = &stats["store_connections"];
    let number = |name: &str| connections[name].as_i64().unwrap();
    assert_eq!(number("limit"), POOL, "{stats}");
    assert!(number("in_use") + number("idle") <= POOL, "{stats}");
}

async fn assert_figures_agree(api: &ApiProcess, run: &Run) {
    let answered = run.with_status(200).count();
    let refused = run.with_status(503).count();
    let stats = api.client().get("/stats").await.json();
    assert_within_the_pool(&stats);
    assert_eq!(stats["requests_in_flight"], 1, "{stats}");
    let cache = &stats["memory_cache"];
    assert_eq!(stats["misses"], answered, "{stats}");
    assert_eq!(cache["entries"], answered, "{stats}");
    assert_eq!(
        (&cache["hits"], &stats["stale"]),
        (&0.into(), &0.into()),
        "{stats}"
    );
    assert_eq!(cache["hit_ratio"], 0.0, "{stats}");

    let figures = api.exposition().await;
    let requests = |code: &str| figures.sum("reckon_http_requests", Some(("code", code)));
    let count = |count: usize| f64::from(u32::try_from(count).unwrap());
    let difference = requests("503") - count(refused);
    assert!(
        difference.abs() < 0.5,
        "{difference} more 503 counted than given"
    );
    assert!(requests("200") >= count(answered));
    let loads = figures.sum("reckon_loader_failures", Some(("reason", "overloaded")));
    assert!(
        (loads - count(refused)).abs() < 0.5,
        "{loads} loads refused"
    );
    assert!(figures.sum("reckon_loader_queue_users", None) < 0.5);
}

async fn a_thousand_clients_within_the_limits_get_no_error(flavour: Flavour) {
    let server = database(flavour, 0..USERS).await;
    let directory = tempfile::tempdir().unwrap();
    let api = start(&server, &directory, 2048).await;
    let sampler = server.sample_connections(RECKON.name).await;

    let run = watched(Run::of(&api), api.client()).await;

    run.print(
        &format!("{flavour:?}, within the limits"),
        &api.exposition().await,
    );
    println!("{flavour:?}: {:?}", sampler.peak());
    for (user, answer) in &run.answers {
        assert_correct(*user, answer);
        assert_eq!(answer.header("x-cache"), Some("MISS"));
    }
    assert!(
        sampler.peak().open <= POOL && sampler.peak().looks > 10,
        "{:?}",
        sampler.peak()
    );
    assert_figures_agree(&api, &run).await;
}

#[tokio::test]
async fn within_the_limits_on_mariadb() {
    a_thousand_clients_within_the_limits_get_no_error(Flavour::MariaDb).await;
}

#[tokio::test]
async fn within_the_limits_on_mysql9() {
    a_thousand_clients_within_the_limits_get_no_error(Flavour::MySql9).await;
}

#[tokio::test]
async fn a_thousand_clients_beyond_the_limits_get_a_correct_answer_or_a_503() {
    let server = database(Flavour::MariaDb, 0..USERS).await;
    let directory = tempfile::tempdir().unwrap();
    let api = start(&server, &directory, 16).await;
    let sampler = server.sample_connections(RECKON.name).await;

    let run = watched(Run::of(&api), api.client()).await;

    run.print("beyond the limits", &api.exposition().await);
    println!("{:?}", sampler.peak());
    for (user, answer) in &run.answers {
        if answer.status == 200 {
            assert_correct(*user, answer);
        } else {
            assert_retry_later(answer);
        }
    }
    assert!(run.with_status(200).count() > 0 && run.with_status(503).count() > 0);
    assert!(
        sampler.peak().open <= POOL && sampler.peak().looks > 10,
        "{:?}",
        sampler.peak()
    );
    assert_figures_agree(&api, &run).await;

    // No effect of the crowd is left: a rejected client that returns is served.
    let again = run.with_status(503).take(100);
    for (user, _) in again {
        let answer = api.client().get(&format!("/recommend/{user}")).await;
        assert_correct(*user, &answer);
    }
}
