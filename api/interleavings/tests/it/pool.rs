//! The loader's pool and queue together: there are never more connections than places, no job waits for ever, and
//! connections beyond the base are finally closed.

use crate::explore::explore;
use crate::queue::{Answer, LONG, METRICS};
use futures_util::future::{Either, select};
use reckon_api::model::{History, UserId};
use reckon_interleavings::loader::pool::{Begin, Closing, Place, Pool, Role, Seat};
use reckon_interleavings::loader::queue::{Job, Queue};
use reckon_interleavings::sync::{Notify, oneshot};
use reckon_interleavings::time::Instant;
use shuttle::future::{JoinHandle, spawn, yield_now};
use shuttle::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// A server that allows `room` connections.
struct Server {
    open: AtomicU32,
    room: AtomicU32,
    /// Open connections of this process must not exceed it.
    cap: u32,
}

impl Server {
    fn connect(&self) -> bool {
        let room = self.room.load(SeqCst);
        let accepted = self
            .open
            .fetch_update(SeqCst, SeqCst, |open| (open < room).then_some(open + 1));
        assert!(
            accepted.is_err() || accepted < Ok(self.cap),
            "above the cap"
        );
        accepted.is_ok()
    }

    fn close(&self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

struct Fixture {
    pool: Arc<Pool>,
    queue: Arc<Queue>,
    server: Arc<Server>,
    /// Whether all answers have arrived: idle connections have been idle for long.
    over: Arc<AtomicBool>,
    ended: Arc<Notify>,
    is_closed: Arc<AtomicBool>,
}

impl Fixture {
    fn new(base: u32, most: u32, room: u32) -> Self {
        let starved = Arc::new(Notify::new());
        let queue = Queue::new(16, Arc::clone(&METRICS)).elastic(Arc::clone(&starved));
        Self {
            pool: Arc::new(Pool::new(base, most, starved)),
            queue: Arc::new(queue),
            server: Arc::new(Server {
                open: AtomicU32::new(0),
                room: AtomicU32::new(room),
                cap: most,
            }),
            over: Arc::default(),
            ended: Arc::default(),
            is_closed: Arc::default(),
        }
    }

    /// The state machine of `loader/elastic.rs`, without a clock: a pause ends at once.
    fn worker(&self, breaks_once: bool) -> JoinHandle<()> {
        let (pool, queue, server) = (self.pool.clone(), self.queue.clone(), self.server.clone());
        let (over, ended) = (self.over.clone(), self.ended.clone());
        let is_closed = self.is_closed.clone();
        spawn(async move {
            let mut worker = Worker {
                pool,
                queue,
                server,
                over,
                ended,
                is_closed,
                breaks: breaks_once,
            };
            let mut closing = None;
            while let Some(place) = worker.open(closing.take()).await {
                match worker.serve(place).await {
                    Some(released) => closing = Some(released),
                    None => return,
                }
            }
        })
    }

    fn push(&self, user: i64) -> Answer {
        let (reply, answer) = oneshot::channel();
        let enqueued = Instant::now();
        let job = Job {
            user: UserId::Integer(user),
            enqueued,
            deadline: enqueued + LONG,
            reply,
            is_repeated: false,
        };
        self.queue.push(job).unwrap();
        answer
    }

    /// Places that are not taken.
    fn free(&self) -> u32 {
        let spares: Vec<_> = std::iter::from_fn(|| self.pool.spare()).collect();
        u32::try_from(spares.len()).unwrap()
    }

    fn all_answered(&self) {
        self.over.store(true, SeqCst);
        self.ended.notify_waiters();
    }
}

struct Worker {
    pool: Arc<Pool>,
    queue: Arc<Queue>,
    server: Arc<Server>,
    over: Arc<AtomicBool>,
    ended: Arc<Notify>,
    is_closed: Arc<AtomicBool>,
    breaks: bool,
}

impl Worker {
    async fn open(&self, closing: Option<Closing>) -> Option<Place> {
        yield_now().await;
        drop(closing);
        let mut changed = pin!(self.pool.changed().notified());
        loop {
            changed.as_mut().enable();
            if self.is_closed.load(SeqCst) {
                return None;
            }
            match self.pool.begin(self.queue.starving(), Instant::now()) {
                Begin::Now(attempt) => {
                    yield_now().await;
                    if self.server.connect() {
                        return Some(attempt.opened().0);
                    }
                    attempt.failed(true, Instant::now(), Duration::ZERO);
                    yield_now().await;
                    continue;
                }
                Begin::Later(_) => yield_now().await,
                Begin::Wait => changed.as_mut().await,
            }
            changed.set(self.pool.changed().notified());
        }
    }

    /// Returns when the connection is closed; `None`: the queue is closed too.
    async fn serve(&mut self, mut place: Place) -> Option<Closing> {
        loop {
            if self.pool.must_give_way() {
                match place.release(false) {
                    Ok(closing) => return Some(self.closed(closing)),
                    Err(kept) => place = kept,
                }
            }
            let queue = Arc::clone(&self.queue);
            let jobs = {
                let take = pin!(queue.take(2));
                match select(take, pin!(self.surplus())).await {
                    Either::Left((jobs, _)) => Some(jobs),
                    Either::Right(_) => None,
                }
            };
            match jobs {
                Some(Some(jobs)) if std::mem::take(&mut self.breaks) => {
                    let closing = place.lost();
                    self.server.close();
                    self.queue.give_back(jobs);
                    return closing;
                }
                Some(Some(jobs)) => {
                    yield_now().await;
                    for job in jobs {
                        job.reply.send(Ok(History::default())).ok();
                    }
                }
                Some(None) => {
                    self.server.close();
                    return None;
                }
                None => match place.release(self.over.load(SeqCst)) {
                    Ok(closing) => return Some(self.closed(closing)),
                    Err(kept) => {
                        place = kept;
                        yield_now().await;
                    }
                },
            }
        }
    }

    fn closed(&self, closing: Closing) -> Closing {
        self.server.close();
        closing
    }

    /// Returns when the connection may be surplus.
    async fn surplus(&self) {
        let mut notified = pin!(self.pool.surplus().notified());
        let mut ended = pin!(self.ended.notified());
        loop {
            notified.as_mut().enable();
            ended.as_mut().enable();
            if self.pool.has_surplus()
                || (self.over.load(SeqCst) && self.server.open.load(SeqCst) > 1)
            {
                return;
            }
            select(notified.as_mut(), ended.as_mut()).await;
            notified.set(self.pool.surplus().notified());
            ended.set(self.ended.notified());
        }
    }
}

/// Waits until the process has only its base, closes it and waits for the workers.
async fn ends(fixture: Fixture, workers: Vec<JoinHandle<()>>) {
    fixture.all_answered();
    while fixture.server.open.load(SeqCst) > 1 || fixture.free() < fixture.server.cap - 1 {
        yield_now().await;
    }
    fixture.is_closed.store(true, SeqCst);
    fixture.queue.close();
    fixture.pool.changed().notify_waiters();
    for worker in workers {
        worker.await.unwrap();
    }
}

#[test]
fn every_job_is_answered_and_only_the_base_stays_open() {
    explore(2_000, || async {
        let fixture = Fixture::new(1, 3, 3);
        let workers = vec![
            fixture.worker(false),
            fixture.worker(true),
            fixture.worker(false),
        ];
        let answers = [1, 2, 3, 4].map(|user| fixture.push(user));
        for answer in answers {
            assert_eq!(answer.await, Ok(Ok(History::default())));
        }
        ends(fixture, workers).await;
    });
}

#[test]
fn every_job_is_answered_by_the_connections_that_a_server_allows() {
    explore(2_000, || async {
        let fixture = Fixture::new(1, 3, 2);
        let workers = vec![
            fixture.worker(false),
            fixture.worker(false),
            fixture.worker(false),
        ];
        let answers = [1, 2, 3].map(|user| fixture.push(user));
        for answer in answers {
            assert_eq!(answer.await, Ok(Ok(History::default())));
        }
        ends(fixture, workers).await;
    });
}

#[test]
fn connections_beyond_the_base_are_closed_for_it_and_opened_again() {
    explore(2_000, || async {
        let fixture = Fixture::new(1, 2, 2);
        let workers = vec![fixture.worker(false), fixture.worker(false)];
        let (pool, server) = (Arc::clone(&fixture.pool), Arc::clone(&fixture.server));
        let refused = spawn(async move {
            pool.seat(Role::Prober, Seat::Refused);
            while server.open.load(SeqCst) > 1 {
                yield_now().await;
            }
            pool.seat(Role::Prober, Seat::Settled);
        });
        let answers = [1, 2, 3].map(|user| fixture.push(user));
        for answer in answers {
            assert_eq!(answer.await, Ok(Ok(History::default())));
        }
        refused.await.unwrap();
        ends(fixture, workers).await;
    });
}

#[test]
fn a_draining_process_serves_with_its_base() {
    explore(2_000, || async {
        let fixture = Fixture::new(1, 2, 2);
        let workers = vec![fixture.worker(false), fixture.worker(true)];
        let pool = Arc::clone(&fixture.pool);
        let draining = spawn(async move { pool.drain() });
        let answers = [1, 2, 3].map(|user| fixture.push(user));
        for answer in answers {
            assert_eq!(answer.await, Ok(Ok(History::default())));
        }
        draining.await.unwrap();
        ends(fixture, workers).await;
    });
}
