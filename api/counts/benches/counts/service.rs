//! The service over a store that always returns the same rows. Everything that a production service has is enabled.

use super::{REPETITIONS, connection, rows};
use axum::body::Body;
use http::Request;
use reckon_api::cache::generation::Generations;
use reckon_api::http::access::Access;
use reckon_api::http::{App, Phase, edge::Edge, router};
use reckon_api::model::{History, UserId};
use reckon_api::recommend::Recommender;
use reckon_api::store::new_rows::{Answer, Followed, Question};
use reckon_api::store::{Connection, Error, Store};
use reckon_api::trained::Published;
use reckon_api::{loader::Loader, metrics::Metrics, rate_limit::RateLimit};
use reckon_contract::Tuning;
use reckon_contract::tuning;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Users whose answers are in the memory cache.
const USERS: u32 = 100;

/// Which requests are sent.
#[derive(Clone, Copy)]
pub enum Requests {
    One,
    BatchOf20,
}

/// A service whose memory cache has the answers, and the requests to be answered.
pub struct Hits {
    runtime: Runtime,
    edge: Arc<Edge>,
    paths: Vec<String>,
    requests: Vec<Request<Body>>,
    _phase: watch::Sender<Phase>,
}

impl Hits {
    pub fn of(requests: Requests) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (announce, phase) = watch::channel(Phase::Serving);
        let paths: Vec<String> = (1..=USERS)
            .cycle()
            .take(REPETITIONS)
            .map(|user| path(requests, user))
            .collect();
        let edge = runtime.block_on(async { Arc::new(edge(phase)) });
        let mut hits = Self {
            runtime,
            edge,
            requests: Vec::new(),
            paths,
            _phase: announce,
        };
        hits.prepare();
        hits.answer_all();
        hits.prepare();
        hits
    }

    fn prepare(&mut self) {
        let request = |path: &String| {
            let request = Request::get(path).header("host", "127.0.0.1:8000");
            request.body(Body::empty()).expect("a request")
        };
        self.requests = self.paths.iter().map(request).collect();
    }

    /// Sends the requests to the edge.
    pub fn answer_all(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        self.runtime.block_on(async {
            for request in requests {
                let response = self.edge.answer(request, PEER).await;
                assert_eq!(response.status(), 200);
                black_box(response);
            }
        });
    }

    /// Sends the requests over one connection.
    pub fn answer_over_a_connection(&self) {
        let served = connection::serve(&self.edge, &self.paths);
        let answered = self.runtime.block_on(served);
        assert_eq!(answered, self.paths.len());
    }
}

fn path(requests: Requests, user: u32) -> String {
    match requests {
        Requests::One => format!("/recommend/{user}"),
        Requests::BatchOf20 => {
            let users = (0..20).map(|step| (1 + (user + step) % USERS).to_string());
            let users: Vec<String> = users.collect();
            format!("/batch-recommend?user_ids={}", users.join(","))
        }
    }
}

fn edge(phase: watch::Receiver<Phase>) -> Edge {
    let tuning = Tuning {
        rate_limit: Some(tuning::RateLimit {
            requests_per_second: Some(1_000_000),
            burst: Some(1_000_000),
            ..tuning::RateLimit::default()
        }),
        ..Tuning::default()
    };
    let metrics = Arc::new(Metrics::new(&tuning));
    let length = tuning.recommendation.rows_read();
    let loader = Loader::start(
        SameRows,
        &tuning.store,
        length,
        Arc::clone(&metrics.loader),
        None,
    );
    let memory = metrics.cache.memory_cache(&tuning.cache.memory);
    let recommender = Recommender::new(
        loader,
        None,
        (Arc::new(Generations::default()), memory),
        &tuning,
        Arc::clone(&metrics.cache),
        Arc::clone(&metrics.models),
    );
    let rate_limit = tuning.rate_limit.as_ref().map(RateLimit::new);
    let (access_log, most) = (
        tuning.server.access_log,
        tuning.server.max_requests_in_flight,
    );
    let app = Arc::new(App {
        recommender: Arc::new(recommender),
        events: None,
        metrics: Arc::clone(&metrics.http),
        tuning,
        access: Access::Closed { reads: false },
        freshness: None,
        started: Instant::now(),
    });
    Edge::new(
        router(Arc::clone(&app)),
        Arc::clone(&metrics.http),
        most,
        phase,
    )
    .answering_directly(app)
    .logging(access_log)
    .limited(rate_limit)
}

/// A store in which every user has the same rows.
struct SameRows;

impl Store for SameRows {
    type Connection = Self;

    const USERS_PER_STATEMENT: usize = rows::USERS;

    fn statement_limit(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn connect(&self) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl Connection for SameRows {
    async fn histories(&mut self, users: &[UserId], _: u32) -> Result<Vec<History>, Error> {
        Ok(vec![rows::history(); users.len()])
    }

    async fn probe(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn model(&mut self, _: Option<&str>) -> Result<(Option<String>, Published), Error> {
        Ok((None, Published::Nothing))
    }

    async fn new_rows(&mut self, _: Followed, _: &Question) -> Result<Answer, Error> {
        Ok(Answer::Newest(None))
    }

    async fn ping(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn describe(&self) -> String {
        "the same rows".to_owned()
    }

    async fn close(self) {}
}
