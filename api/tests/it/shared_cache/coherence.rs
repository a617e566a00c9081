//! After an invalidation, the process that confirmed it never gives an older answer, and other processes give none
//! after the bound.

use super::{
    SOON, at, at_address, change, connected, error_reason, get, invalidate, metric, process,
    process_at, redis_on_two_addresses, served, serves_new_value, tuning, two,
};
use crate::harness::eventually::eventually;
use crate::harness::own_network::{LOSSY, Loss};
use crate::harness::redis_server::RedisServer;
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::scripted::Script;
use crate::service::Service;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const USERS: u64 = 5;
const INVALIDATIONS: u64 = 1000;
/// The bound for a process that is cut off from Redis.
const DETACHED_BOUND: Duration = Duration::from_secs(10);

/// An invalidation that a process confirmed.
struct Confirmed {
    at: Instant,
    by: usize,
    whom: Option<u64>,
    truth: u64,
}

/// An answer to a reader.
#[derive(Clone, Copy)]
struct Served {
    began: Instant,
    by: usize,
    user: u64,
    truth: u64,
}

/// Everything that happened.
#[derive(Default)]
struct Record {
    confirmed: Mutex<Vec<Confirmed>>,
    served: Mutex<Vec<Served>>,
    over: AtomicBool,
}

impl Record {
    /// Sends requests to one process without end, for one user after the other.
    async fn read(self: Arc<Self>, service: Arc<Service>, by: usize) {
        while !self.over.load(SeqCst) {
            let user = fastrand::u64(1..=USERS);
            let began = Instant::now();
            let answer = get(&service, user).await;
            let served = Served {
                began,
                by,
                user,
                truth: served(&answer.body),
            };
            self.served.lock().unwrap().push(served);
            tokio::time::sleep(Duration::from_micros(fastrand::u64(0..2000))).await;
        }
    }

    fn confirm(&self, by: usize, whom: Option<u64>, truth: u64) {
        let at = Instant::now();
        self.confirmed.lock().unwrap().push(Confirmed {
            at,
            by,
            whom,
            truth,
        });
    }

    /// The maximum time from an invalidation to the beginning of a request that still got an older answer: for the
    /// process that confirmed the invalidation, and for others.
    fn lags(&self) -> (Option<Duration>, Option<Duration>, usize) {
        self.lags_between(|_| true)
    }

    fn lags_between(
        &self,
        counts: impl Fn(&Served) -> bool,
    ) -> (Option<Duration>, Option<Duration>, usize) {
        let (confirmed, served) = (self.confirmed.lock().unwrap(), self.served.lock().unwrap());
        let (mut own, mut others) = (None, None);
        for served in served.iter().filter(|served| counts(served)) {
            let is_met = |confirmed: &&Confirmed| {
                confirmed.whom.is_none_or(|user| user == served.user)
                    && confirmed.at <= served.began
                    && served.truth < confirmed.truth
            };
            for confirmed in confirmed.iter().filter(is_met) {
                let lag = Some(served.began - confirmed.at);
                if confirmed.by == served.by {
                    own = own.max(lag);
                } else {
                    others = others.max(lag);
                }
            }
        }
        (own, others, served.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn of_1000_invalidations_on_two_processes_none_is_followed_by_an_older_answer() {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    let services = [Arc::new(one), Arc::new(other)];
    script.yields.store(4, SeqCst);
    let record = Arc::new(Record::default());
    let mut readers = JoinSet::new();
    for by in [0, 0, 1, 1] {
        readers.spawn(Arc::clone(&record).read(Arc::clone(&services[by]), by));
    }
    for nth in 0..INVALIDATIONS {
        // Every third time, loads are slow.
        script
            .delay
            .store([0, 3, 40][fastrand::usize(0..3)], SeqCst);
        let by = usize::try_from(nth % 2).unwrap();
        // Some users are invalidated only at one of the two processes, so that the other one depends on the message.
        // Most of the time, no invalidation of everything happens.
        let user = [[1, 2, 5], [3, 4, 5]][by][fastrand::usize(0..3)];
        let (path, whom) = match nth % 10 {
            0..7 => (format!("/{user}"), vec![Some(user)]),
            9 if nth > INVALIDATIONS * 4 / 5 => ("/all".to_owned(), vec![None]),
            _ => (format!("?user_ids={user},5"), vec![Some(user), Some(5)]),
        };
        let truth = change(&script);
        invalidate(&services[by], &path).await;
        for whom in whom {
            record.confirm(by, whom, truth);
        }
        tokio::time::sleep(Duration::from_micros(fastrand::u64(0..6000))).await;
    }
    record.over.store(true, SeqCst);
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }
    let (own, others, answers) = record.lags();
    let statements = script.statements.load(SeqCst);
    let found =
        services.map(|service| metric(&service, "reckon_recommendations_total{source=\"shared\""));
    println!(
        "{answers} answers, {statements} statements, {found:?} found in Redis; greatest lag: own {own:?}, others {others:?}"
    );
    assert_eq!(own, None);
    assert!(others <= Some(super::BOUND), "{others:?}");
    assert!(statements > INVALIDATIONS / 2, "{statements} statements");
    assert!(found.iter().all(|found| *found > 50), "{found:?}");
}

/// A load that began before the invalidation ends after it, at the process that confirms it or at the other.
async fn a_slow_fill(loads_at_own: bool, whom: &'static str, ask_meanwhile: bool) {
    let redis = RedisServer::running().await;
    let (one, other, script) = two(&redis, tuning()).await;
    let (one, other) = (Arc::new(one), Arc::new(other));
    script.least_delay.store(400, SeqCst);
    let loader = Arc::clone(if loads_at_own { &one } else { &other });
    let slow = tokio::spawn(async move { get(&loader, 1).await });
    eventually(SOON, async || script.statements.load(SeqCst) == 1).await;
    script.least_delay.store(0, SeqCst);
    let truth = change(&script);
    invalidate(&one, whom).await;
    if ask_meanwhile {
        assert_eq!(served(&get(&one, 1).await.body), truth);
        // A new process, which has only the entries in Redis.
        let third = process(redis.port(), &script, tuning()).await;
        assert_eq!(served(&get(&third, 1).await.body), truth);
        serves_new_value(&other, 1, truth).await;
    }
    // The client's request began before the invalidation.
    assert_eq!(served(&slow.await.unwrap().body), truth - 1);
    let fills = |service| {
        metric(
            service,
            "reckon_shared_cache_operations_total{operation=\"fill\"",
        )
    };
    let least = if ask_meanwhile { 2 } else { 1 };
    eventually(SOON, async || fills(&one) + fills(&other) >= least).await;
    let fourth = process(redis.port(), &script, tuning()).await;
    for service in [&fourth, &one, &other] {
        assert_eq!(served(&get(service, 1).await.body), truth);
    }
}

#[tokio::test]
async fn a_fill_that_began_before_the_invalidation_is_rejected() {
    let whom = ["/1", "?user_ids=1,2", "/all"];
    for ask_meanwhile in [true, false] {
        let cases = [true, false].map(|own| whom.map(|whom| a_slow_fill(own, whom, ask_meanwhile)));
        futures_util::future::join_all(cases.into_iter().flatten()).await;
    }
}

/// The way in which a process is cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    Silent,
    /// Packets are lost, in a separate network of the test.
    Lost,
    Closed,
    /// Redis is frozen, so all processes are cut off.
    Frozen,
}

/// One process continues to invalidate while the other is cut off for longer than the bound for this case.
pub async fn cut_off(cut: Cut) {
    let redis = redis_on_two_addresses().await;
    let proxy = TcpProxy::to(redis.port()).await;
    let script = Arc::new(Script::default());
    let one = Arc::new(process(redis.port(), &script, tuning()).await);
    let others_way = if cut == Cut::Lost {
        at_address(LOSSY, redis.port())
    } else {
        at(proxy.port())
    };
    let other = Arc::new(process_at(others_way, "shop", &script, tuning()).await);
    let record = Arc::new(Record::default());
    let mut readers = JoinSet::new();
    readers.spawn(Arc::clone(&record).read(Arc::clone(&one), 0));
    readers.spawn(Arc::clone(&record).read(Arc::clone(&other), 1));
    let invalidate_one = async |whom: Option<u64>| {
        let path = whom.map_or("/all".to_owned(), |user| format!("/{user}"));
        let truth = change(&script);
        let status = one
            .send_request("POST", &format!("/invalidate-cache{path}"))
            .await
            .status;
        // Without Redis, its own memory is still cleared; nothing is promised for the others.
        if status == 503 {
            assert_eq!(served(&get(&one, whom.unwrap_or(1)).await.body), truth);
        } else {
            record.confirm(0, whom, truth);
        }
        status
    };
    for user in 1..=USERS {
        assert_eq!(invalidate_one(Some(user)).await, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut loss = None;
    match cut {
        Cut::Silent => proxy.set_mode(Mode::Silent),
        Cut::Lost => loss = Some(Loss::of_packets()),
        Cut::Closed => proxy.set_mode(Mode::Closed),
        Cut::Frozen => redis.process.freeze().await,
    }
    let since = Instant::now();
    let mut refused = 0;
    while since.elapsed() < DETACHED_BOUND + Duration::from_secs(2) {
        // Users 4 and 5 are not invalidated after the first second, so their entries become old.
        let most = if since.elapsed() < Duration::from_secs(1) {
            USERS
        } else {
            3
        };
        let whom = Some(fastrand::u64(1..=most));
        let status = invalidate_one(whom).await;
        assert_eq!(status, if cut == Cut::Frozen { 503 } else { 200 });
        refused += u64::from(status == 503);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let reason = error_reason(&other);
    assert!(reason.is_some());
    let refused_there = other.send_request("POST", "/invalidate-cache/1").await;
    assert_eq!(
        (refused_there.status, refused_there.header("retry-after")),
        (503, "1")
    );
    let (mine, during, _) = record.lags();
    let returned = Instant::now();
    match cut {
        Cut::Frozen => redis.process.thaw(),
        Cut::Lost => drop(loss),
        Cut::Silent | Cut::Closed => proxy.set_mode(PROMPT),
    }
    connected(&other).await;
    let back = returned.elapsed();
    connected(&one).await;
    let settled = returned + Duration::from_secs(2);
    // Messages that were sent while it was cut off are not repeated.
    tokio::time::sleep_until((settled + Duration::from_millis(300)).into()).await;
    while Instant::now() < settled + Duration::from_millis(700) {
        assert_eq!(invalidate_one(Some(fastrand::u64(1..=USERS))).await, 200);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    record.over.store(true, SeqCst);
    while let Some(ended) = readers.join_next().await {
        ended.unwrap();
    }
    let (own, after, answers) = record.lags_between(|served| served.began > settled);
    println!(
        "{cut:?} ({reason:?}): {answers} answers, {refused} invalidations refused; greatest lag while cut off {during:?}, \
        afterwards {after:?}; back after {back:?}"
    );
    assert_eq!((mine, own), (None, None));
    assert!(during <= Some(DETACHED_BOUND), "{during:?}");
    // Without this, the test would prove nothing: older answers were given while messages could not arrive.
    assert!(
        cut == Cut::Frozen || during > Some(Duration::from_secs(5)),
        "{during:?}"
    );
    assert!(back < Duration::from_secs(2), "{back:?}");
    assert!(after <= Some(super::BOUND), "{after:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn entries_are_dropped_10_s_after_redis_is_cut_off_and_coherent_2_s_after_reconnecting() {
    let cuts = [Cut::Silent, Cut::Closed, Cut::Frozen].map(|cut| tokio::spawn(cut_off(cut)));
    for ended in futures_util::future::join_all(cuts).await {
        ended.unwrap();
    }
}
