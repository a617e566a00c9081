//! Clients that keep one connection each as long as the server allows, send all kinds of requests, and tolerate no
//! error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use fastrand::Rng;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::truth::USERS;
use super::{KEY, World};
use crate::harness::client::Answer;

/// A request's deadline, plus the delay of a busy machine.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(5 + 3);
/// Maximum time until everything works after the store does: the prober's next attempt (2 s, or 2.5 s where its probe
/// was cut off), and then the proof (2.5 s), for which workers wait after a cut-off statement.
const STORE_AFTERMATH: Duration = Duration::from_secs(8);
/// Maximum time until Redis is used after it is back.
const REDIS_AFTERMATH: Duration = Duration::from_secs(3);
/// Users without rows; more than fit into the memory cache.
const WITHOUT_ROWS: std::ops::Range<i64> = 1_000_000..1_001_000;

/// The results of the callers.
#[derive(Default)]
pub struct Tally {
    /// Answers that were checked and right, by kind.
    pub right: BTreeMap<String, u64>,
    /// Users' histories in answers, each compared with the truth.
    pub histories: u64,
    /// Wrong answers.
    pub wrong: Vec<String>,
    pub connections: u64,
    /// Connections that ended without an announcement.
    pub lost: Vec<String>,
    /// The greatest lags behind the other process.
    pub lag: Option<Duration>,
    pub slowest: Duration,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        for (kind, count) in other.right {
            *self.right.entry(kind).or_default() += count;
        }
        self.histories += other.histories;
        self.wrong.extend(other.wrong);
        self.connections += other.connections;
        self.lost.extend(other.lost);
        self.lag = self.lag.max(other.lag);
        self.slowest = self.slowest.max(other.slowest);
    }

    pub fn answers(&self) -> u64 {
        self.right.values().sum()
    }
}

/// A client of one process.
pub struct Caller<'a> {
    world: &'a World,
    process: usize,
    address: SocketAddr,
    connection: Option<(SendRequest<Empty<Bytes>>, JoinSet<()>)>,
    dice: Rng,
    pub tally: Tally,
}

impl<'a> Caller<'a> {
    /// A caller that chooses its requests by `dice`.
    pub fn of(world: &'a World, process: usize, dice: Rng) -> Self {
        let address = world.processes[process];
        Self {
            world,
            process,
            address,
            connection: None,
            dice,
            tally: Tally::default(),
        }
    }

    /// Sends random requests until the end.
    pub async fn read(mut self) -> Tally {
        while !self.world.is_over() {
            match self.dice.u8(0..100) {
                0..70 => self.recommend().await,
                70..85 => self.batch().await,
                85..90 => self.warm().await,
                90..96 => self.figures().await,
                _ => self.invalid_request().await,
            }
            tokio::time::sleep(Duration::from_millis(self.dice.u64(1..20))).await;
        }
        self.tally
    }

    /// The answer of the process, if one came; a connection that ended without notice is written down.
    pub async fn request(
        &mut self,
        method: Method,
        path: &str,
        key: &str,
    ) -> Option<(Instant, Answer)> {
        let began = Instant::now();
        match timeout(MAX_ANSWER_TIME * 2, self.send(&method, path, key)).await {
            Ok(Ok(answer)) => {
                self.tally.slowest = self.tally.slowest.max(answer.elapsed);
                if answer.elapsed > MAX_ANSWER_TIME {
                    self.tally
                        .wrong
                        .push(format!("{path} took {:?}", answer.elapsed));
                }
                if answer.header("connection") == Some("close") {
                    self.connection = None;
                }
                return Some((began, answer));
            }
            Ok(Err(error)) => self.tally.lost.push(format!("{path}: {error:#}")),
            Err(_) => self
                .tally
                .lost
                .push(format!("{path}: no answer in {:?}", MAX_ANSWER_TIME * 2)),
        }
        self.connection = None;
        None
    }

    async fn send(&mut self, method: &Method, path: &str, key: &str) -> anyhow::Result<Answer> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address)
                .await
                .context("not connected")?;
            stream.set_nodelay(true)?;
            self.tally.connections += 1;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let mut driver = JoinSet::new();
            driver.spawn(async move {
                // The next request detects the end of the connection.
                let _ = connection.await;
            });
            self.connection = Some((sender, driver));
        }
        let (sender, _) = self.connection.as_mut().context("just made")?;
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "reckon.test");
        if !key.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        let began = Instant::now();
        sender.ready().await?;
        let (head, body) = sender
            .send_request(request.body(Empty::new())?)
            .await?
            .into_parts();
        let body = body
            .collect()
            .await
            .context("the body broke off")?
            .to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.into())?,
            elapsed: began.elapsed(),
        })
    }

    /// Gives up what is under way.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    fn note(&mut self, judged: Result<String, String>) {
        match judged {
            Ok(kind) => {
                self.world.met.lock().unwrap().insert(kind.clone());
                *self.tally.right.entry(kind).or_default() += 1;
            }
            Err(wrong) => self.tally.wrong.push(wrong),
        }
    }

    async fn recommend(&mut self) {
        let user = random_user(&mut self.dice);
        let path = format!("/recommend/{user}");
        let Some((began, answer)) = self.request(Method::GET, &path, "").await else {
            return;
        };
        let judged = if answer.status == 200 {
            self.judge(user, began, &answer.json())
                .map(|()| answer.header("x-cache").unwrap_or("?").to_owned())
        } else {
            self.judge_error(began, &answer)
        };
        self.note(judged);
    }

    async fn batch(&mut self) {
        let users: Vec<i64> = (0..self.dice.usize(2..20))
            .map(|_| random_user(&mut self.dice))
            .collect();
        let list: Vec<String> = users.iter().map(i64::to_string).collect();
        let path = format!("/batch-recommend?user_ids={}", list.join(","));
        let Some((began, answer)) = self.request(Method::GET, &path, "").await else {
            return;
        };
        let judged = if answer.status == 200 {
            self.judge_batch(&users, began, &answer.json())
        } else {
            self.judge_error(began, &answer)
        };
        self.note(judged);
    }

    /// Checks the results in the order of the request: each must be right, or an expected error.
    fn judge_batch(
        &mut self,
        users: &[i64],
        began: Instant,
        batch: &Value,
    ) -> Result<String, String> {
        let list = |name: &str| batch[name].as_array().cloned().unwrap_or_default();
        let (mut results, mut errors) = (list("results").into_iter(), list("errors"));
        let failed = errors.len();
        for user in users {
            if let Some(place) = errors.iter().position(|error| error["user_id"] == *user) {
                errors.remove(place);
                continue;
            }
            let result = results
                .next()
                .ok_or_else(|| format!("{user} is missing: {batch}"))?;
            self.judge(*user, began, &result)?;
        }
        if failed > 0 && !self.is_due(began) {
            return Err(format!("errors while the store is well: {batch}"));
        }
        let is_consistent = results.next().is_none()
            && errors.is_empty()
            && batch["total_requested"] == users.len()
            && batch["failed"] == failed
            && batch["successful"] == users.len() - failed;
        let kind = if failed > 0 { "batch in part" } else { "batch" };
        is_consistent
            .then(|| kind.to_owned())
            .ok_or_else(|| format!("{users:?}: {batch}"))
    }

    fn judge(&mut self, user: i64, began: Instant, answer: &Value) -> Result<(), String> {
        let lag = self
            .world
            .truth
            .judge(self.process, user, began, answer, &self.world.faults)?;
        self.tally.lag = self.tally.lag.max(lag);
        self.tally.histories += 1;
        Ok(())
    }

    /// Whether the store has had a fault since then.
    fn is_due(&self, began: Instant) -> bool {
        self.world
            .faults
            .store
            .touch(began, Instant::now(), STORE_AFTERMATH)
    }

    /// An honest refusal, and only when it is due.
    fn judge_error(&self, began: Instant, answer: &Answer) -> Result<String, String> {
        let what = || format!("{} {:?} {}", answer.status, answer.headers, answer.body);
        let status = answer.status.as_u16();
        let is_honest = [503, 504].contains(&status)
            && answer.header("retry-after") == Some("1")
            && answer.header("content-type") == Some("application/problem+json")
            && answer.json()["status"] == status;
        if !is_honest {
            return Err(what());
        }
        let is_due = self.is_due(began);
        is_due
            .then(|| status.to_string())
            .ok_or_else(|| format!("while the store is well: {}", what()))
    }

    async fn warm(&mut self) {
        let users = [(); 2].map(|()| random_user(&mut self.dice));
        let path = format!("/warm-cache?user_ids={},{}", users[0], users[1]);
        if let Some((_, answer)) = self.request(Method::POST, &path, KEY).await {
            self.expect("warm", 200, &answer);
        }
    }

    async fn figures(&mut self) {
        let path = ["/health", "/stats"][self.dice.usize(0..2)];
        let Some((began, answer)) = self.request(Method::GET, path, "").await else {
            return;
        };
        let redis = &self.world.faults.redis[self.process];
        let redis_is_due = redis.touch(began, Instant::now(), REDIS_AFTERMATH);
        let body = answer.json();
        let judged = match (answer.status.as_u16(), body["status"].as_str()) {
            (503, Some("unhealthy")) if self.is_due(began) => Ok("unhealthy".to_owned()),
            (200, Some("degraded")) if redis_is_due => Ok("degraded".to_owned()),
            (200, Some("healthy")) => Ok("healthy".to_owned()),
            (200, None) if path == "/stats" => Ok("stats".to_owned()),
            _ => Err(format!("{path}: {} {}", answer.status, answer.body)),
        };
        self.note(judged);
    }

    async fn invalid_request(&mut self) {
        let user = random_user(&mut self.dice);
        let invalidation = format!("/invalidate-cache/{user}");
        let cases = [
            (Method::GET, "/recommend/1_0", "", 422),
            (Method::GET, "/recommend/99999999999999999999", "", 422),
            (Method::GET, "/batch-recommend?user_ids=1,,2", "", 400),
            (Method::GET, "/nothing/here", "", 404),
            (Method::DELETE, "/recommend/1", "", 401),
            (Method::DELETE, "/recommend/1", KEY, 405),
            (Method::POST, &invalidation, "", 401),
            (Method::POST, &invalidation, "a-key-of-nobodys-at-all", 401),
        ];
        let (method, path, key, status) = cases[self.dice.usize(0..cases.len())].clone();
        if let Some((_, answer)) = self.request(method, path, key).await {
            self.expect("nonsense", status, &answer);
        }
    }

    fn expect(&mut self, kind: &str, status: u16, answer: &Answer) {
        let judged = if answer.status == status {
            Ok(kind.to_owned())
        } else {
            Err(format!(
                "{kind}: {} instead of {status}: {}",
                answer.status, answer.body
            ))
        };
        self.note(judged);
    }

    /// Invalidates until the process confirms it. Returns whether it did before the end.
    pub async fn invalidate(&mut self, path: &str) -> bool {
        while let Some((began, answer)) = self.request(Method::POST, path, KEY).await {
            if answer.status == 200 {
                self.note(Ok("invalidated".to_owned()));
                return true;
            }
            let redis = &self.world.faults.redis[self.process];
            let is_due = redis.touch(began, Instant::now(), REDIS_AFTERMATH);
            let is_honest = answer.status == 503 && answer.header("retry-after") == Some("1");
            let judged = (is_honest && is_due).then(|| "not confirmed".to_owned());
            self.note(judged.ok_or_else(|| format!("{path}: {} {}", answer.status, answer.body)));
            if self.world.is_over() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }
}

/// Some are asked for much more often than others, and a few have no rows.
fn random_user(dice: &mut Rng) -> i64 {
    match dice.u8(0..10) {
        0..5 => dice.i64(1..=20),
        5..9 => dice.i64(1..=USERS),
        _ => dice.i64(WITHOUT_ROWS),
    }
}
