//! Clients that keep one connection each as long as the server allows, and tolerate no error. Unlike a client with a
//! pool, these never retry without the test's knowledge: a connection that ends without an announcement is a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::harness::client::Answer;

/// The results of all clients.
#[derive(Debug, Default)]
pub struct Tally {
    /// Complete answers.
    pub answers: Vec<(i64, Answer)>,
    /// Connections opened.
    pub connections: usize,
    /// Connections whose end the server announced.
    pub announced_ends: usize,
    /// Everything that went wrong.
    pub failures: Vec<String>,
}

/// Running until stopped or dropped.
pub struct SteadyClients {
    tasks: JoinSet<Tally>,
    stopped: Arc<AtomicBool>,
}

impl SteadyClients {
    /// `clients` that each ask every `period`, for one of `users` after the other.
    pub fn start(server: SocketAddr, clients: i64, period: Duration, users: i64) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for client in 0..clients {
            let stopped = stopped.clone();
            let user = move |nth: i64| (client * 37 + nth) % users;
            tasks.spawn(async move {
                let mut tally = Tally::default();
                while !stopped.load(Ordering::Relaxed) {
                    let over_one = over_one_connection(server, period, &stopped, &user, &mut tally);
                    if let Err(error) = over_one.await {
                        tally.failures.push(format!("{error:#}"));
                    }
                }
                tally
            });
        }
        Self { tasks, stopped }
    }

    /// Lets the requests in flight end.
    pub async fn stop(self) -> Tally {
        self.stopped.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for tally in self.tasks.join_all().await {
            sum.answers.extend(tally.answers);
            sum.connections += tally.connections;
            sum.announced_ends += tally.announced_ends;
            sum.failures.extend(tally.failures);
        }
        sum
    }
}

/// Sends requests until the server announces the connection's end.
async fn over_one_connection(
    server: SocketAddr,
    period: Duration,
    stopped: &AtomicBool,
    user: impl Fn(i64) -> i64,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    tally.connections += 1;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stopped.load(Ordering::Relaxed) {
        ticks.tick().await;
        let user = user(i64::try_from(tally.answers.len())?);
        let answer = get_recommendation(&mut sender, user).await?;
        let ends = answer.header("connection") == Some("close");
        tally.answers.push((user, answer));
        if ends {
            tally.announced_ends += 1;
            break;
        }
    }
    Ok(())
}

async fn get_recommendation(
    sender: &mut SendRequest<Empty<Bytes>>,
    user: i64,
) -> anyhow::Result<Answer> {
    let request = Request::get(format!("/recommend/{user}"))
        .header(header::HOST, "reckon.test")
        .body(Empty::new())?;
    let began = Instant::now();
    sender.ready().await?;
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.into())?,
        elapsed: began.elapsed(),
    })
}
