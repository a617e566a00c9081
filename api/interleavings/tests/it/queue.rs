//! The loader's queue: no job waits while a worker is idle, and no client or worker waits for ever.

use crate::explore::explore;
use reckon_api::loader::{LoadError, LoaderMetrics};
use reckon_api::metrics::Metrics;
use reckon_api::model::{History, UserId};
use reckon_contract::Tuning;
use reckon_interleavings::loader::queue::{Full, Job, Queue};
use reckon_interleavings::sync::oneshot;
use reckon_interleavings::time::Instant;
use shuttle::future::{JoinHandle, spawn};
use std::sync::{Arc, LazyLock};
use std::task::Poll;
use std::time::Duration;

pub static METRICS: LazyLock<Arc<LoaderMetrics>> =
    LazyLock::new(|| Arc::clone(&Metrics::new(&Tuning::default()).loader));
/// No job expires: the clock is not part of the model.
pub const LONG: Duration = Duration::from_hours(1);

pub type Answer = oneshot::Receiver<Result<History, LoadError>>;

fn queue(capacity: usize) -> Arc<Queue> {
    Arc::new(Queue::new(capacity, Arc::clone(&METRICS)))
}

fn job(user: i64) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let enqueued = Instant::now();
    let job = Job {
        user: UserId::Integer(user),
        enqueued,
        deadline: enqueued + LONG,
        reply,
        is_repeated: false,
    };
    (job, answer)
}

/// A client's task: its result is `None` if the queue was full or closed.
fn push(queue: &Arc<Queue>, user: i64) -> JoinHandle<Option<Answer>> {
    let queue = Arc::clone(queue);
    spawn(async move {
        let (job, answer) = job(user);
        queue.push(job).ok().map(|()| answer)
    })
}

/// A worker's task that takes once and answers.
fn take_once(queue: &Arc<Queue>) -> JoinHandle<()> {
    let queue = Arc::clone(queue);
    spawn(async move { answer(queue.take(1).await.unwrap()) })
}

/// A worker's task that answers jobs until the queue is closed. Its result is their number.
fn take_until_closed(queue: &Arc<Queue>, most: usize) -> JoinHandle<usize> {
    let queue = Arc::clone(queue);
    spawn(async move {
        let mut taken = 0;
        while let Some(jobs) = queue.take(most).await {
            assert!((1..=most).contains(&jobs.len()), "{} jobs", jobs.len());
            taken += jobs.len();
            answer(jobs);
        }
        taken
    })
}

fn answer(jobs: Vec<Job>) {
    for job in jobs {
        job.reply.send(Ok(History::default())).ok();
    }
}

/// There are two jobs, and two workers take one each. If a job waited while a worker is idle, this would be a deadlock.
#[test]
fn no_job_waits_while_a_worker_is_idle() {
    explore(4_000, || async {
        let queue = queue(8);
        let workers = [take_once(&queue), take_once(&queue)];
        for push in [push(&queue, 1), push(&queue, 2)] {
            let answer = push.await.unwrap().unwrap();
            assert_eq!(answer.await, Ok(Ok(History::default())));
        }
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

/// A worker stops waiting, or gives back the job that it took: the other worker still receives the job.
#[test]
fn a_worker_that_stops_waiting_leaves_the_job_to_another() {
    explore(4_000, || async {
        let queue = queue(8);
        let leaving = {
            let queue = Arc::clone(&queue);
            spawn(async move {
                let mut take = Box::pin(queue.take(1));
                let once = futures_util::future::poll_fn(|context| {
                    Poll::Ready(take.as_mut().poll(context))
                });
                if let Poll::Ready(jobs) = once.await {
                    queue.give_back(jobs.unwrap());
                }
            })
        };
        let worker = take_once(&queue);
        let answer = push(&queue, 1).await.unwrap().unwrap();
        assert_eq!(answer.await, Ok(Ok(History::default())));
        leaving.await.unwrap();
        worker.await.unwrap();
    });
}

/// Concurrent clients fill the queue exactly to its capacity.
#[test]
fn concurrent_clients_cannot_exceed_the_capacity() {
    explore(2_000, || async {
        let queue = queue(2);
        let mut answers = Vec::new();
        for push in [1, 2, 3].map(|user| push(&queue, user)) {
            answers.extend(push.await.unwrap());
        }
        assert_eq!(answers.len(), 2);
    });
}

/// The queue refuses a job only when it is full, and each accepted job is answered once.
#[test]
fn each_accepted_job_is_answered() {
    explore(4_000, || async {
        let queue = queue(2);
        let pushes = [1, 2, 3].map(|user| push(&queue, user));
        let worker = take_until_closed(&queue, 2);
        let mut answered = 0;
        for push in pushes {
            if let Some(answer) = push.await.unwrap() {
                assert_eq!(answer.await, Ok(Ok(History::default())));
                answered += 1;
            }
        }
        assert!(answered >= 2, "accepted {answered} jobs of 3, capacity 2");
        queue.close();
        assert_eq!(worker.await.unwrap(), answered);
    });
}

/// Closing the queue ends the wait of every client and every worker, whenever it happens.
#[test]
fn a_closed_queue_leaves_no_job_waiting() {
    explore(4_000, || async {
        let queue = queue(8);
        let workers = [take_until_closed(&queue, 1), take_until_closed(&queue, 1)];
        let pushes = [push(&queue, 1), push(&queue, 2)];
        let closing = Arc::clone(&queue);
        let closed = spawn(async move { closing.close() });
        for push in pushes {
            if let Some(answer) = push.await.unwrap() {
                // Either a history, or an error because the queue was closed.
                drop(answer.await);
            }
        }
        closed.await.unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
        assert!(matches!(queue.push(job(3).0), Err(Full)));
    });
}
