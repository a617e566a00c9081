//! Combines the loads of many requests into few statements, and never exceeds its number of connections.
//!
//! The loader owns every connection of the process to the store: one belongs to the `prober`, each of the others to a
//! `worker`. (A connection for events is not the loader's.) A request never uses a connection itself: it queues a job and waits, so a client that disconnects costs
//! nothing.

mod connectivity;
mod elastic;
mod errand;
mod error;
mod limits;
mod liveness;
mod metrics;
mod pauses;
mod pool;
mod prober;
mod proof;
mod queue;
mod rotation;
#[cfg(test)]
mod tests;
mod worker;
mod writer_seat;

pub use error::LoadError;
pub use limits::OpenSession;
pub use metrics::LoaderMetrics;
pub use prober::Availability;
pub use proof::Proof;
pub use writer_seat::WriterSeat;

use crate::model::{History, UserId};
use crate::store::new_rows::{Answer, Followed, Question};
use crate::store::{Error, Reason, Store};
use crate::supervise::Task;
use crate::trained::FollowedModel;
use connectivity::Connectivity;
use errand::Errand;
use limits::Limits;
use liveness::Liveness;
use pool::{Pool, Role, Seat};
use queue::{Job, Queue};
use reckon_contract::{health::ConnectionLimit, tuning};
use rotation::Rotation;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// The store counts as too slow for this long after a load that timed out, unless a later load succeeds.
const SLOW_FOR: Duration = Duration::from_secs(3);
/// The result of a probe is reused for this long.
const FRESH: Duration = Duration::from_secs(1);
/// Maximum wait for connections to be closed at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The pool is `None` if the number of connections does not depend on the load.
fn queue_and_pool(
    tuning: &tuning::Store,
    metrics: &Arc<LoaderMetrics>,
) -> (Arc<Queue>, Option<Arc<Pool>>) {
    let queue = Queue::new(tuning.queue_length as usize, Arc::clone(metrics));
    if tuning.min_pool_size.is_none() {
        return (Arc::new(queue), None);
    }
    let starved = Arc::new(Notify::new());
    // One of the connections is the prober's.
    let (base, most) = (tuning.base() - 1, tuning.pool_size - 1);
    let pool = Pool::new(base, most, Arc::clone(&starved));
    (Arc::new(queue.elastic(starved)), Some(Arc::new(pool)))
}

/// Access to the store.
pub struct Loader {
    queue: Arc<Queue>,
    query_timeout: Duration,
    availability: watch::Receiver<Availability>,
    poke: Arc<Notify>,
    connectivity: Arc<Connectivity>,
    liveness: Arc<Liveness>,
    errands: mpsc::Sender<Errand>,
    /// `None`: the number of connections does not depend on the load.
    pool: Option<Arc<Pool>>,
    limits: Arc<Limits>,
    /// When the last load timed out, if none has succeeded since.
    last_timeout: Mutex<Option<Instant>>,
    metrics: Arc<LoaderMetrics>,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
    closing: watch::Sender<bool>,
}

impl Loader {
    /// Starts the tasks that own the connections; does not wait for the store to be reachable. `models`, if set, follows the
    /// model that is published in the store.
    pub fn start<S: Store>(
        store: S,
        tuning: &tuning::Store,
        history_length: u32,
        metrics: Arc<LoaderMetrics>,
        models: Option<FollowedModel>,
    ) -> Self {
        let store = Arc::new(store);
        let (queue, pool) = queue_and_pool(tuning, &metrics);
        let limits = Limits::new(tuning.permitted_limits(), pool.clone(), metrics.clone());
        let limits = Arc::new(limits);
        let (closing, closed) = watch::channel(false);
        let poke = Arc::new(Notify::new());
        let connectivity = Arc::new(Connectivity::new(Arc::clone(&metrics)));
        let liveness = Arc::new(Liveness::new());
        let rotation = Arc::new(Rotation::new(tuning.connection_max_age()));
        let mut tasks = JoinSet::new();
        let (announce, availability) = watch::channel(Availability::Starting);
        let query_timeout = tuning.query_timeout();
        let (errands, received) = mpsc::channel(1);
        let received = Arc::new(tokio::sync::Mutex::new(received));
        let prober = {
            let (store, poke, metrics) = (store.clone(), poke.clone(), metrics.clone());
            let (connectivity, liveness, rotation) =
                (connectivity.clone(), liveness.clone(), rotation.clone());
            let (pool, limits) = (pool.clone(), limits.clone());
            let closed = closed.clone();
            // Kept here too, so that the workers' observations outlive a prober that panics.
            move |again: bool| {
                let prober = prober::Prober {
                    store: Arc::clone(&store),
                    timeout: query_timeout,
                    poke: Arc::clone(&poke),
                    announce: announce.clone(),
                    closed: closed.clone(),
                    connectivity: Arc::clone(&connectivity),
                    liveness: Arc::clone(&liveness),
                    rotation: Arc::clone(&rotation),
                    pool: pool.clone(),
                    limits: Arc::clone(&limits),
                    metrics: Arc::clone(&metrics),
                    models: models.clone(),
                    errands: Arc::clone(&received),
                    panicked: again.then(Instant::now),
                };
                prober.run()
            }
        };
        tasks.spawn(Arc::clone(&metrics.tasks).keep(Task::Prober, prober));
        let worker = {
            let (queue, availability) = (queue.clone(), availability.clone());
            let (poke, connectivity, metrics) =
                (poke.clone(), connectivity.clone(), metrics.clone());
            let liveness = Arc::clone(&liveness);
            let (pool, limits) = (pool.clone(), limits.clone());
            move |again: bool| {
                if again {
                    connectivity.failed(Reason::Other);
                    poke.notify_one();
                }
                let worker = worker::ConnectionWorker {
                    store: Arc::clone(&store),
                    queue: Arc::clone(&queue),
                    history_length,
                    query_timeout,
                    availability: availability.clone(),
                    poke: Arc::clone(&poke),
                    connectivity: Arc::clone(&connectivity),
                    liveness: Arc::clone(&liveness),
                    rotation: Arc::clone(&rotation),
                    limits: Arc::clone(&limits),
                    metrics: Arc::clone(&metrics),
                    closed: closed.clone(),
                    connection: None,
                    guard: None,
                    place: None,
                    closing: pool.as_ref().filter(|_| again).map(Pool::quarantine),
                    is_elastic: pool.is_some(),
                    // A worker takes no jobs before it has a connection.
                    refused: again,
                    abandoned: again.then(Instant::now),
                };
                let pool = pool.clone();
                async move {
                    match pool {
                        Some(pool) => elastic::run(worker, pool).await,
                        None => worker.run().await,
                    }
                }
            }
        };
        for _ in 1..tuning.pool_size {
            tasks.spawn(Arc::clone(&metrics.tasks).keep(Task::ConnectionWorker, worker.clone()));
        }
        Self {
            queue,
            query_timeout,
            availability,
            poke,
            connectivity,
            liveness,
            errands,
            pool,
            limits,
            last_timeout: Mutex::default(),
            metrics,
            tasks: tokio::sync::Mutex::new(tasks),
            closing,
        }
    }

    /// The newest rows of `user`.
    ///
    /// # Errors
    /// At once when the store is down or the queue is full, otherwise within the query timeout.
    pub async fn load(&self, user: UserId) -> Result<History, LoadError> {
        let result = self.queued(user).await;
        match result {
            Ok(_) => self.note_timeout(None),
            Err(LoadError::TimedOut) => self.note_timeout(Some(Instant::now())),
            Err(_) => {}
        }
        if let Err(error) = result {
            self.metrics.failed(error);
        }
        result
    }

    async fn queued(&self, user: UserId) -> Result<History, LoadError> {
        if let Availability::Down(reason) = self.known() {
            return Err(LoadError::Unavailable(reason));
        }
        let (reply, answer) = oneshot::channel();
        let enqueued = Instant::now();
        let deadline = enqueued + self.query_timeout;
        self.queue
            .push(Job {
                user,
                enqueued,
                deadline,
                reply,
                is_repeated: false,
            })
            .map_err(|queue::Full| LoadError::Overloaded)?;
        let result = match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_closed)) => Err(LoadError::Unavailable(Reason::Unreachable)),
            Err(_elapsed) => Err(LoadError::TimedOut),
        };
        if matches!(result, Err(LoadError::TimedOut)) {
            self.poke.notify_one();
        }
        result
    }

    /// The answer to a question about new rows of the table `of`. The prober runs the statement between two probes, so
    /// the call waits while the store is down.
    ///
    /// # Errors
    /// The statement failed, or the connection was lost.
    pub(crate) async fn new_rows(&self, of: Followed, question: Question) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        let errand = Errand {
            of,
            question,
            reply,
        };
        let sent = self.errands.send(errand).await;
        sent.map_err(|_closed| errand::interrupted())?;
        answer
            .await
            .unwrap_or_else(|_dropped| Err(errand::interrupted()))
    }

    /// The prober's state, unless only the prober has a connection.
    fn known(&self) -> Availability {
        let known = *self.availability.borrow();
        match self.connectivity.unavailable_reason() {
            Some(reason) if matches!(known, Availability::Up { .. }) => Availability::Down(reason),
            _ => known,
        }
    }

    fn note_timeout(&self, at: Option<Instant>) {
        *self
            .last_timeout
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// Whether loads currently time out although the store answers the prober.
    fn is_too_slow(&self) -> bool {
        let last = *self
            .last_timeout
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < SLOW_FOR)
    }

    /// A view of the server's answers, for a connection that is not the loader's.
    #[must_use]
    pub fn proof(&self) -> Proof {
        Proof {
            availability: self.availability.clone(),
            poke: Arc::clone(&self.poke),
            liveness: Arc::clone(&self.liveness),
        }
    }

    /// The place of the connection for events. From now on, the base is complete only with this connection.
    #[must_use]
    pub fn writer_seat(&self) -> WriterSeat {
        if let Some(pool) = &self.pool {
            pool.seat(Role::Writer, Seat::Awaited);
        }
        WriterSeat {
            pool: self.pool.clone(),
            limits: Arc::clone(&self.limits),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// Whether all connections of the base (those that should always be open) are open.
    #[must_use]
    pub fn base_is_complete(&self) -> watch::Receiver<bool> {
        match &self.pool {
            Some(pool) => pool.complete(),
            None => watch::channel(true).1,
        }
    }

    /// How many connections the server allows the process's account, by the least strict limit of an open session. `None`: no
    /// session is open, or the store has no such limit.
    #[must_use]
    pub fn connection_limit(&self) -> Option<ConnectionLimit> {
        self.limits.least_strict()
    }

    /// From now on, connections that need not always be open are closed when they are idle, and none is opened.
    pub fn drain(&self) {
        if let Some(pool) = &self.pool {
            pool.drain();
        }
    }

    /// The prober's state of the store.
    #[must_use]
    pub fn availability(&self) -> watch::Receiver<Availability> {
        self.availability.clone()
    }

    /// Whether the store works. If the last result is older than one second, the store is probed. `timeout` bounds the
    /// wait.
    pub async fn probe(&self, timeout: Duration) -> Availability {
        let mut news = self.availability.clone();
        let known = *news.borrow_and_update();
        let is_fresh = matches!(known, Availability::Up { probed } if probed.elapsed() < FRESH);
        let is_answered = is_fresh || {
            let asked = Instant::now();
            self.poke.notify_one();
            let answered = async {
                tokio::select! {
                    _ = news.changed() => {}
                    _ = self.liveness.wait_after(asked) => {}
                }
            };
            tokio::time::timeout(timeout, answered).await.is_ok()
        };
        match self.known() {
            Availability::Up { .. } if !is_answered || self.is_too_slow() => {
                Availability::Down(Reason::Timeout)
            }
            known => known,
        }
    }

    /// The metrics.
    #[must_use]
    pub(crate) fn metrics(&self) -> &LoaderMetrics {
        &self.metrics
    }

    /// Takes no more jobs, and closes every connection. Waits until they are closed, but not for a server that does not
    /// answer.
    pub async fn close(&self) {
        self.closing.send_replace(true);
        self.queue.close();
        let mut tasks = self.tasks.lock().await;
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, all).await.is_err() {
            tasks.shutdown().await;
        }
    }
}
