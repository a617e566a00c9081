//! An HTTP client that returns status, headers, body and time, and can send many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

/// More time than any answer may take. If it passes, the test has found a hang.
const TIMEOUT: Duration = Duration::from_secs(30);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status; compares with a number: `assert_eq!(answer.status, 200)`.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, which is text in all answers of the API.
    pub body: String,
    /// Time from sending to the last byte, connecting included.
    pub elapsed: Duration,
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.body))
    }

    /// A header's text: `answer.header("x-cache")`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends requests to one server. Clones share its connections.
#[derive(Clone)]
pub struct Client {
    base: String,
    headers: HeaderMap,
    timeout: Duration,
    inner: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// Keeps connections alive and reuses them; `base` is `http://127.0.0.1:8000`.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        Self::pooled(base.into(), usize::MAX)
    }

    /// Opens a connection for each request.
    #[must_use]
    pub fn without_keep_alive(base: impl Into<String>) -> Self {
        Self::pooled(base.into(), 0).with_header("connection", "close")
    }

    fn pooled(base: String, idle: usize) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base,
            headers: HeaderMap::new(),
            timeout: TIMEOUT,
            inner: legacy::Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(idle)
                .build(connector),
        }
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// Gives up a request after this time instead of 30 s.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends GET; panics if there is no answer.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await.unwrap()
    }

    /// Sends POST with an empty body; panics if there is no answer.
    pub async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, "").await.unwrap()
    }

    /// Sends any request.
    ///
    /// # Errors
    /// There is no complete answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let uri = format!("{}{path}", self.base);
        let what = format!("{method} {uri}");
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .body(Full::new(body.into()))?;
        request.headers_mut().extend(self.headers.clone());
        tokio::time::timeout(self.timeout, self.send_request(request))
            .await
            .with_context(|| format!("{what}: no answer in {:?}", self.timeout))?
            .context(what)
    }

    /// Asks for all of `paths` at the same time; the results are in their order.
    pub async fn get_concurrently(
        &self,
        paths: impl IntoIterator<Item = String>,
    ) -> Vec<anyhow::Result<Answer>> {
        let asked: Vec<_> = paths
            .into_iter()
            .map(|path| {
                let client = self.clone();
                tokio::spawn(async move { client.send(Method::GET, &path, "").await })
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for answer in asked {
            answers.push(answer.await.unwrap());
        }
        answers
    }

    /// Keeps `workers` requests in flight until it is stopped; `path` makes the path of a worker's nth request.
    pub fn send_load<P>(&self, workers: usize, path: P) -> Load
    where
        P: Fn(usize, usize) -> String + Send + Sync + 'static,
    {
        let path = Arc::new(path);
        let stopped = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let (client, path, stopped) = (self.clone(), path.clone(), stopped.clone());
            tasks.spawn(async move {
                let mut answers = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let path = path(worker, answers.len());
                    answers.push(client.send(Method::GET, &path, "").await);
                }
                answers
            });
        }
        Load { tasks, stopped }
    }

    async fn send_request(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let started = Instant::now();
        let (head, body) = self.inner.request(request).await?.into_parts();
        let body = body.collect().await.context("the body broke off")?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.to_bytes().into())?,
            elapsed: started.elapsed(),
        })
    }
}

/// Requests that continue in the background until they are stopped or dropped.
pub struct Load {
    tasks: JoinSet<Vec<anyhow::Result<Answer>>>,
    stopped: Arc<AtomicBool>,
}

impl Load {
    /// Waits for the requests in flight, and returns all answers, worker by worker.
    pub async fn stop(self) -> Vec<anyhow::Result<Answer>> {
        self.stopped.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}
