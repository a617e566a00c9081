//! The loader over a server that a test controls, with a clock that advances only while every task waits.

mod counts;
mod elastic;
mod errands;
mod models;
mod pool;
mod proof;

use super::LoaderMetrics;
use super::{Availability, LoadError, Loader, SLOW_FOR};
use crate::metrics::Metrics;
use crate::model::{History, UserId};
use crate::store::new_rows::{Answer as NewRows, Followed, Question};
use crate::store::{AccountLimit, Connection, Error, Reason, Scope, Store};
use crate::trained::Published;
use futures_util::future::join_all;
use reckon_contract::{Tuning, tuning};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};

/// Milliseconds.
const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How long a load waits: the default of [`tuning::Store`].
const TIMEOUT: Duration = ms(2000);
/// The server's limit for a statement.
const LIMIT: Duration = ms(1000);
/// After this time the server can no longer be running a statement, if it has answered in the meantime.
const ENDED: Duration = ms(1000 + 500);
/// The prober's connection, which is the first one.
const PROBER: usize = 0;
/// The connection of the worker that connects first.
const WORKER: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Ping,
    Probe,
    Model,
    Follow,
    Read,
}

/// A call that the server received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    kind: Kind,
    /// The connection, counted from 0; for a refused attempt, the number that the connection would have had.
    session: usize,
    users: Vec<i64>,
    /// Since the server started.
    at: Duration,
    /// Earlier calls of this kind.
    earlier: usize,
}

/// The outcome of a call.
enum Outcome {
    Answer,
    AnswerAfter(Duration),
    /// An answer to a read that lacks its last user.
    AnswerWithoutLast,
    NoAnswer,
    Failure(Reason, Scope),
    /// A panic, as of a driver that cannot parse an answer.
    Panic,
}
use Outcome::{Answer, AnswerAfter, AnswerWithoutLast, Failure, NoAnswer, Panic};

type Rule = Box<dyn Fn(&Call) -> Outcome + Send>;

struct Server {
    started: Instant,
    rule: Mutex<Rule>,
    calls: Mutex<Vec<Call>>,
    /// Connections that were created, and how many of them are open.
    sessions: Mutex<(usize, usize)>,
    /// Maximum number of connections at once.
    peak: Mutex<usize>,
    /// What each session reports.
    limit: Mutex<Option<AccountLimit>>,
}

impl Server {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            rule: Mutex::new(Box::new(|_| Answer)),
            calls: Mutex::default(),
            sessions: Mutex::default(),
            peak: Mutex::default(),
            limit: Mutex::default(),
        })
    }

    /// From now on the server follows `rule`.
    fn follow_rule(&self, rule: impl Fn(&Call) -> Outcome + Send + 'static) {
        *self.rule.lock().unwrap() = Box::new(rule);
    }

    /// Returns the number of histories in the answer.
    async fn call(&self, kind: Kind, session: usize, users: &[UserId]) -> Result<usize, Error> {
        let outcome = {
            let mut calls = self.calls.lock().unwrap();
            let call = Call {
                kind,
                session,
                users: users.iter().map(integer).collect(),
                at: self.started.elapsed(),
                earlier: calls.iter().filter(|call| call.kind == kind).count(),
            };
            calls.push(call.clone());
            self.rule.lock().unwrap()(&call)
        };
        match outcome {
            Answer => Ok(users.len()),
            AnswerAfter(time) => {
                sleep(time).await;
                Ok(users.len())
            }
            AnswerWithoutLast => Ok(users.len() - 1),
            NoAnswer => std::future::pending().await,
            Panic => panic!("scripted panic"),
            Failure(reason, scope) => Err(Error {
                reason,
                scope,
                source: "scripted failure".into(),
            }),
        }
    }

    fn calls(&self, kind: Kind) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls
            .iter()
            .filter(|call| call.kind == kind)
            .cloned()
            .collect()
    }

    /// The users of each statement.
    fn reads(&self) -> Vec<Vec<i64>> {
        self.calls(Kind::Read)
            .into_iter()
            .map(|call| call.users)
            .collect()
    }

    /// Calls of one kind on one connection.
    fn count(&self, kind: Kind, session: usize) -> usize {
        let calls = self.calls(kind);
        calls.iter().filter(|call| call.session == session).count()
    }

    /// Time between the calls of one kind that came after `begin`.
    fn gaps(&self, kind: Kind, begin: Duration) -> Vec<Duration> {
        let times: Vec<Duration> = self
            .calls(kind)
            .iter()
            .map(|call| call.at)
            .filter(|at| *at >= begin)
            .collect();
        times
            .windows(2)
            .map(|pair| pair[1].saturating_sub(pair[0]))
            .collect()
    }
}

struct ServedStore(Arc<Server>);

impl Store for ServedStore {
    type Connection = Session;

    const USERS_PER_STATEMENT: usize = 4;

    fn statement_limit(&self) -> Duration {
        LIMIT
    }

    async fn connect(&self) -> Result<Session, Error> {
        let next = self.0.sessions.lock().unwrap().0;
        self.0.call(Kind::Connect, next, &[]).await?;
        let mut sessions = self.0.sessions.lock().unwrap();
        let number = sessions.0;
        *sessions = (number + 1, sessions.1 + 1);
        let mut peak = self.0.peak.lock().unwrap();
        *peak = sessions.1.max(*peak);
        Ok(Session(Arc::clone(&self.0), number))
    }
}

struct Session(Arc<Server>, usize);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.sessions.lock().unwrap().1 -= 1;
    }
}

impl Connection for Session {
    async fn histories(&mut self, users: &[UserId], _: u32) -> Result<Vec<History>, Error> {
        let answered = self.0.call(Kind::Read, self.1, users).await?;
        Ok(vec![History::default(); answered])
    }

    async fn probe(&mut self) -> Result<(), Error> {
        self.0.call(Kind::Probe, self.1, &[]).await.map(drop)
    }

    async fn model(&mut self, _: Option<&str>) -> Result<(Option<String>, Published), Error> {
        self.0.call(Kind::Model, self.1, &[]).await?;
        Ok((None, Published::Nothing))
    }

    async fn new_rows(&mut self, _: Followed, _: &Question) -> Result<NewRows, Error> {
        self.0.call(Kind::Follow, self.1, &[]).await?;
        Ok(NewRows::Newest(None))
    }

    async fn ping(&mut self) -> Result<(), Error> {
        self.0.call(Kind::Ping, self.1, &[]).await.map(drop)
    }

    fn account_limit(&self) -> Option<AccountLimit> {
        *self.0.limit.lock().unwrap()
    }

    fn describe(&self) -> String {
        "a script".to_owned()
    }

    async fn close(self) {}
}

/// A loader over `server` with this many workers; nothing has been probed yet.
fn start(server: &Arc<Server>, workers: u32, max_age_seconds: u32) -> (Loader, Arc<LoaderMetrics>) {
    let tuning = tuning::Store {
        pool_size: workers + 1,
        connection_max_age_seconds: max_age_seconds,
        ..tuning::Store::default()
    };
    start_with(server, &tuning)
}

fn start_with(server: &Arc<Server>, tuning: &tuning::Store) -> (Loader, Arc<LoaderMetrics>) {
    let metrics = Arc::clone(&Metrics::new(&Tuning::default()).loader);
    let loader = Loader::start(
        ServedStore(Arc::clone(server)),
        tuning,
        100,
        Arc::clone(&metrics),
        None,
    );
    (loader, metrics)
}

/// The same once the first probe has succeeded.
async fn ready(server: &Arc<Server>, workers: u32) -> Loader {
    let (loader, _) = start(server, workers, 86_400);
    is_up(&loader).await;
    loader
}

async fn is_up(loader: &Loader) {
    let up = |known: &Availability| matches!(known, Availability::Up { .. });
    loader.availability().wait_for(up).await.unwrap();
}

fn known(loader: &Loader) -> Result<(), Reason> {
    match *loader.availability.borrow() {
        Availability::Up { .. } => Ok(()),
        Availability::Down(reason) => Err(reason),
        Availability::Starting => panic!("nothing is known"),
    }
}

/// The state after the next probe.
async fn next(loader: &Loader) -> Result<(), Reason> {
    let mut availability = loader.availability();
    availability.borrow_and_update();
    availability.changed().await.unwrap();
    known(loader)
}

fn integer(user: &UserId) -> i64 {
    let UserId::Integer(id) = user else {
        panic!("{user} is no integer");
    };
    *id
}

/// Loads users at the same time.
async fn load(loader: &Loader, users: impl IntoIterator<Item = i64>) -> Vec<Result<(), LoadError>> {
    let loads = users
        .into_iter()
        .map(async |user| loader.load(UserId::Integer(user)).await.map(drop));
    join_all(loads).await
}

/// Two statements at the same time.
async fn both_workers_connect(server: &Server, loader: &Loader) {
    server.follow_rule(|call| match call.kind {
        Kind::Read => AnswerAfter(ms(5)),
        _ => Answer,
    });
    assert_eq!(load(loader, 1..=8).await, vec![Ok(()); 8]);
    assert_eq!(server.sessions.lock().unwrap().1, 3);
}

const TIMED_OUT: Result<(), LoadError> = Err(LoadError::TimedOut);

fn unavailable(reason: Reason) -> Result<(), LoadError> {
    Err(LoadError::Unavailable(reason))
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_read_cost_only_their_user() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| {
        if call.users.contains(&2) {
            Failure(Reason::Other, Scope::Statement)
        } else {
            Answer
        }
    });
    let results = load(&loader, [1, 2, 3]).await;
    assert_eq!(results, [Ok(()), unavailable(Reason::Other), Ok(())]);
    assert_eq!(server.reads(), [vec![1, 2, 3], vec![1], vec![2], vec![3]]);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_would_fail_for_each_user_is_not_repeated() {
    for (reason, scope, users) in [
        (Reason::Timeout, Scope::Statement, vec![1, 2]),
        (Reason::Other, Scope::Session, vec![1, 2]),
        (Reason::Unreachable, Scope::Abandoned, vec![1, 2]),
        (Reason::Other, Scope::Statement, vec![1]),
    ] {
        let server = Server::new();
        let loader = ready(&server, 1).await;
        server.follow_rule(move |call| match call.kind {
            Kind::Read => Failure(reason, scope),
            _ => Answer,
        });
        let expected = match reason {
            Reason::Timeout => TIMED_OUT,
            reason => unavailable(reason),
        };
        let results = load(&loader, users.clone()).await;
        assert_eq!(results, vec![expected; users.len()], "{reason:?} {scope:?}");
        assert_eq!(server.reads(), [users], "{reason:?} {scope:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lacks_a_user_is_an_error_and_not_a_user_without_rows() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Read, 0) => AnswerWithoutLast,
        _ => Answer,
    });
    let error = unavailable(Reason::Other);
    assert_eq!(load(&loader, [1, 2]).await, [error; 2]);
    assert_eq!(load(&loader, [1, 2]).await, [Ok(()), Ok(())]);
    // The rest of the answer may still be on the way on the first connection.
    assert_eq!(server.calls(Kind::Read)[1].session, WORKER + 1);
}

#[tokio::test(start_paused = true)]
async fn a_statement_whose_connection_breaks_is_repeated_once_on_another() {
    for breaks in [1, 2] {
        let server = Server::new();
        let loader = ready(&server, 1).await;
        server.follow_rule(move |call| match call.kind {
            Kind::Read if call.earlier < breaks => Failure(Reason::Unreachable, Scope::Session),
            _ => Answer,
        });
        let expected = [Ok(()), unavailable(Reason::Unreachable)];
        assert_eq!(load(&loader, [1]).await[0], expected[breaks - 1]);
        let sessions: Vec<usize> = server
            .calls(Kind::Read)
            .iter()
            .map(|call| call.session)
            .collect();
        assert_eq!(sessions, [WORKER, WORKER + 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn users_who_are_read_one_by_one_are_all_read_again_when_the_connection_breaks() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Read, 0) => Failure(Reason::Other, Scope::Statement),
        (Kind::Read, 1) => Failure(Reason::Unreachable, Scope::Session),
        _ => Answer,
    });
    assert_eq!(load(&loader, [1, 2]).await, [Ok(()), Ok(())]);
    assert_eq!(server.reads(), [vec![1, 2], vec![1], vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn another_worker_serves_the_users_of_an_abandoned_statement() {
    let server = Server::new();
    let loader = ready(&server, 2).await;
    both_workers_connect(&server, &loader).await;
    server.follow_rule(|call| match call.kind {
        Kind::Read if call.earlier == 2 => Failure(Reason::Unreachable, Scope::Abandoned),
        _ => Answer,
    });
    assert_eq!(load(&loader, [9]).await, [Ok(())]);
    assert_eq!(server.reads()[2..], [[9], [9]]);
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_connection_leaves_its_users_to_one_that_has_a_connection() {
    let server = Server::new();
    let loader = ready(&server, 2).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    server.follow_rule(|call| match (call.kind, call.earlier) {
        // The attempt of the second worker.
        (Kind::Connect, 2) => Failure(Reason::TooManyConnections, Scope::Session),
        // A wait without a statement does not count as the single attempt of each user.
        (Kind::Read, 2) => Failure(Reason::Unreachable, Scope::Session),
        (Kind::Read, _) => AnswerAfter(ms(5)),
        _ => Answer,
    });
    assert_eq!(load(&loader, 2..=9).await, vec![Ok(()); 8]);
    let reads = server.reads();
    assert_eq!(reads.len(), 4, "{reads:?}");
    assert_eq!(reads[2], reads[3]);
}

#[tokio::test(start_paused = true)]
async fn without_any_connection_loads_fail_at_once_and_attempts_back_off() {
    let server = Server::new();
    let (loader, metrics) = start(&server, 1, 86_400);
    is_up(&loader).await;
    server.follow_rule(|call| match call.kind {
        Kind::Connect => Failure(Reason::TooManyConnections, Scope::Session),
        _ => Answer,
    });
    sleep(ms(50)).await;
    let began = Instant::now();
    for _ in 0..2 {
        let refused = unavailable(Reason::TooManyConnections);
        assert_eq!(load(&loader, [1]).await, [refused]);
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    let reported = loader.probe(TIMEOUT).await;
    assert_eq!(reported, Availability::Down(Reason::TooManyConnections));

    sleep(ms(9000)).await;
    let first = server.calls(Kind::Connect)[1].at;
    let gaps = [100, 200, 400, 800, 1600, 2000, 2000].map(ms);
    assert_eq!(server.gaps(Kind::Connect, first)[..7], gaps);
    let refused = server.calls(Kind::Connect).len() - 1;
    assert_eq!(metrics.refused.get(), refused as u64);

    // The prober's reason has priority, and while the store is down no worker tries to connect.
    server.follow_rule(|call| match call.kind {
        Kind::Connect => Failure(Reason::TooManyConnections, Scope::Session),
        Kind::Probe => Failure(Reason::AccessDenied, Scope::Statement),
        _ => Answer,
    });
    sleep(ms(10_000)).await;
    let attempts = server.calls(Kind::Connect).len();
    sleep(ms(10_000)).await;
    assert_eq!(server.calls(Kind::Connect).len(), attempts);
    assert_eq!(
        load(&loader, [1]).await,
        [unavailable(Reason::AccessDenied)]
    );

    server.follow_rule(|_| Answer);
    sleep(ms(5000)).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_before_a_statement() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    for (idle, pings) in [(0, 0), (0, 0), (9, 0), (10, 1), (11, 2)] {
        advance(ms(idle)).await;
        assert_eq!(load(&loader, [1]).await, [Ok(())]);
        assert_eq!(server.count(Kind::Ping, WORKER), pings, "{idle}");
    }
    assert_eq!(server.count(Kind::Read, WORKER), 5);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_broke_while_idle_is_replaced_and_costs_no_user_an_attempt() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    server.follow_rule(|call| match (call.kind, call.session, call.earlier) {
        (Kind::Ping, WORKER, _) | (Kind::Read, _, 1) => {
            Failure(Reason::Unreachable, Scope::Session)
        }
        _ => Answer,
    });
    sleep(ms(1000)).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    let sessions: Vec<usize> = server
        .calls(Kind::Read)
        .iter()
        .map(|call| call.session)
        .collect();
    assert_eq!(sessions, [WORKER, WORKER + 1, WORKER + 2]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_ping_fails_otherwise_fails_the_load() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    server.follow_rule(|call| match call.kind {
        Kind::Ping if call.session == WORKER => Failure(Reason::Other, Scope::Session),
        _ => Answer,
    });
    sleep(ms(1000)).await;
    assert_eq!(load(&loader, [1]).await, [unavailable(Reason::Other)]);
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_pinged_every_20_seconds_and_has_time_to_answer() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    server.follow_rule(|call| match call.kind {
        Kind::Ping if call.session == WORKER => AnswerAfter(TIMEOUT + ms(6000)),
        _ => Answer,
    });
    // At 20 and 48 s.
    sleep(ms(70_000)).await;
    assert_eq!(server.count(Kind::Ping, WORKER), 2);
    server.follow_rule(|_| Answer);
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    assert_eq!(server.count(Kind::Read, WORKER), 2);
}

#[tokio::test(start_paused = true)]
async fn a_statement_without_an_answer_holds_its_worker_until_the_server_has_answered_others_twice()
{
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match call.kind {
        Kind::Read | Kind::Probe => NoAnswer,
        _ => Answer,
    });
    assert_eq!(load(&loader, [1]).await, [TIMED_OUT]);
    // There is no proof that the server has ended the statement.
    sleep(ms(8000)).await;
    assert_eq!(server.sessions.lock().unwrap().1, 2);
    server.follow_rule(|_| Answer);
    // The prober gives up its connection, and opens another one, which answers.
    while load(&loader, [1]).await != [Ok(())] {
        sleep(ms(10)).await;
    }
    let (read, connects) = (server.calls(Kind::Read)[0].at, server.calls(Kind::Connect));
    let probes = server.calls(Kind::Probe);
    let proof: Vec<Duration> = probes
        .iter()
        .map(|call| call.at)
        .filter(|at| *at > read + TIMEOUT)
        .collect();
    let connected = connects.last().unwrap().at;
    assert!(
        proof.len() >= 2 && connected >= proof[0] + ENDED,
        "{proof:?} {connected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn statements_of_another_worker_prove_that_one_without_an_answer_has_ended() {
    let server = Server::new();
    let (loader, metrics) = start(&server, 2, 86_400);
    is_up(&loader).await;
    both_workers_connect(&server, &loader).await;
    server.follow_rule(|call| {
        if call.users.contains(&1) {
            NoAnswer
        } else {
            Answer
        }
    });
    let began = Instant::now();
    let others = async {
        sleep(ms(1)).await;
        while metrics.open.get() == 2 {
            assert_eq!(load(&loader, [2]).await, [Ok(())]);
            sleep(ms(10)).await;
        }
        began.elapsed()
    };
    let (lost, ended) = tokio::join!(load(&loader, [1]), others);
    assert_eq!(lost, [TIMED_OUT]);
    let earliest = TIMEOUT + ENDED;
    assert!(
        earliest <= ended && ended <= earliest + ms(100),
        "{ended:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_panic_the_prober_waits_until_the_server_has_surely_ended_its_probe() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Probe, 1) => Panic,
        _ => Answer,
    });
    assert_eq!(next(&loader).await, Err(Reason::Other));
    assert_eq!(next(&loader).await, Ok(()));
    let probes = server.calls(Kind::Probe);
    // The next prober starts after a pause.
    assert_eq!(probes[2].at.saturating_sub(probes[1].at), ms(500) + ENDED);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_replaced_when_it_is_old() {
    let server = Server::new();
    let (loader, metrics) = start(&server, 1, 100);
    is_up(&loader).await;
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    sleep(ms(79_000)).await;
    assert_eq!(server.sessions.lock().unwrap().0, 2);
    sleep(ms(30_000)).await;
    assert_eq!(*server.sessions.lock().unwrap(), (4, 2));
    assert_eq!(metrics.open.get(), 1);
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    assert!(server.calls(Kind::Read)[1].session > WORKER);
}

#[tokio::test(start_paused = true)]
async fn a_store_counts_as_too_slow_for_3_seconds_after_a_load_that_timed_out() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Read, 0) => AnswerAfter(TIMEOUT + ms(500)),
        _ => Answer,
    });
    assert_eq!(load(&loader, [1]).await, [TIMED_OUT]);
    assert_eq!(
        loader.probe(ms(1000)).await,
        Availability::Down(Reason::Timeout)
    );
    loader.note_timeout(Some(Instant::now()));
    advance(SLOW_FOR.saturating_sub(ms(1))).await;
    assert!(loader.is_too_slow());
    advance(ms(1)).await;
    assert!(!loader.is_too_slow());
    // The state also ends when a load succeeds.
    loader.note_timeout(Some(Instant::now()));
    assert!(loader.is_too_slow());
    assert_eq!(load(&loader, [1]).await, [Ok(())]);
    assert!(!loader.is_too_slow());
    assert!(matches!(
        loader.probe(ms(1000)).await,
        Availability::Up { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn an_availability_query_is_answered_by_a_new_probe_or_its_timeout() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    sleep(ms(4000)).await;
    let probes = server.calls(Kind::Probe).len();
    assert!(matches!(
        loader.probe(ms(1000)).await,
        Availability::Up { .. }
    ));
    assert_eq!(server.calls(Kind::Probe).len(), probes + 1);
    server.follow_rule(|call| match call.kind {
        Kind::Probe => NoAnswer,
        _ => Answer,
    });
    sleep(ms(4000)).await;
    assert_eq!(
        loader.probe(ms(1000)).await,
        Availability::Down(Reason::Timeout)
    );
    assert_eq!(known(&loader), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_closed_loader_has_no_connections_and_accepts_no_users() {
    let server = Server::new();
    let loader = ready(&server, 2).await;
    both_workers_connect(&server, &loader).await;
    loader.close().await;
    assert_eq!(*server.sessions.lock().unwrap(), (3, 0));
    assert_eq!(load(&loader, [1]).await, [Err(LoadError::Overloaded)]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_without_an_answer_is_an_outage_at_its_deadline_and_abandoned_10_seconds_later() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    sleep(ms(3000)).await;
    server.follow_rule(|call| match call.kind {
        Kind::Probe => NoAnswer,
        _ => Answer,
    });
    let began = server.calls(Kind::Probe)[0].at + ms(100 + 5000);
    sleep(TIMEOUT + ms(100 + 5000 - 3000 - 1)).await;
    assert_eq!(server.calls(Kind::Probe)[1].at, began);
    assert_eq!(known(&loader), Ok(()));
    sleep(ms(2)).await;
    assert_eq!(known(&loader), Err(Reason::Timeout));
    sleep(ms(30_000)).await;
    // The first pause after a failure is 100 ms.
    let given_up = began + TIMEOUT + ms(10_000);
    assert_eq!(server.calls(Kind::Connect)[1].at, given_up + ms(100));
}

#[tokio::test(start_paused = true)]
async fn one_reset_probe_is_no_outage_and_two_are() {
    for resets in [1, 2] {
        let server = Server::new();
        let loader = ready(&server, 1).await;
        server.follow_rule(move |call| match call.kind {
            Kind::Probe if call.earlier <= resets => Failure(Reason::Unreachable, Scope::Abandoned),
            _ => Answer,
        });
        let expected = [Ok(()), Err(Reason::Unreachable)];
        assert_eq!(next(&loader).await, expected[resets - 1]);
        // Each time, the server may still be running the probe.
        let probes = server.calls(Kind::Probe);
        assert_eq!(probes[2].at.saturating_sub(probes[1].at), ENDED);
        assert_ne!(probes[2].session, probes[1].session);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_of_the_very_first_probe_is_an_outage() {
    let server = Server::new();
    server.follow_rule(|call| match call.kind {
        Kind::Probe => Failure(Reason::Unreachable, Scope::Abandoned),
        _ => Answer,
    });
    let (loader, _) = start(&server, 1, 86_400);
    sleep(ms(1)).await;
    assert_eq!(known(&loader), Err(Reason::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_is_an_outage_and_is_repeated_with_back_off() {
    for (scope, is_same_session) in [(Scope::Statement, true), (Scope::Session, false)] {
        let server = Server::new();
        let loader = ready(&server, 1).await;
        server.follow_rule(move |call| match call.kind {
            Kind::Probe => Failure(Reason::SchemaMismatch, scope),
            _ => Answer,
        });
        assert_eq!(next(&loader).await, Err(Reason::SchemaMismatch));
        sleep(ms(8000)).await;
        let probes = server.calls(Kind::Probe);
        let gaps = [100, 200, 400, 800, 1600, 2000].map(ms);
        assert_eq!(server.gaps(Kind::Probe, probes[1].at)[..6], gaps);
        assert_eq!(probes[1].session == probes[2].session, is_same_session);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_proves_that_the_store_is_up_if_only_the_prober_lost_its_connection() {
    // The outcome of the prober's probes, the duration of the worker's statements, and the resulting state.
    let lost = || Failure(Reason::Unreachable, Scope::Session);
    let no_table = || Failure(Reason::SchemaMismatch, Scope::Statement);
    let cases: [(fn() -> Outcome, _, _); 4] = [
        (|| NoAnswer, ms(0), Ok(())),
        (lost, ms(0), Ok(())),
        (lost, ms(1100), Err(Reason::Unreachable)),
        (no_table, ms(0), Err(Reason::SchemaMismatch)),
    ];
    for (number, (probe, patience, expected)) in cases.into_iter().enumerate() {
        let server = Server::new();
        let loader = ready(&server, 1).await;
        assert_eq!(load(&loader, [1]).await, [Ok(())]);
        // Nothing is proven for the time after that statement.
        sleep(ms(4000)).await;
        server.follow_rule(move |call| match (call.kind, call.session) {
            (Kind::Probe, PROBER) => probe(),
            (Kind::Probe, WORKER) => AnswerAfter(patience),
            // The statement begins later than the prober's probe.
            (Kind::Ping, WORKER) => AnswerAfter(ms(1)),
            (Kind::Connect, _) => Failure(Reason::Unreachable, Scope::Session),
            _ => Answer,
        });
        assert_eq!(next(&loader).await, expected, "{number}");
    }
}
