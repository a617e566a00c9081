//! Storing events of users, and erasing users: the use cases of `POST /events` and `DELETE /users/{user_id}`.
//!
//! A request is answered after its transaction is committed and its users are invalidated, so a later request gets the new
//! data.

mod failure;
mod metrics;
mod queue;
pub(crate) mod request;
#[cfg(test)]
mod tests;
mod writer;

pub use failure::{Failure, Unavailable};
pub use metrics::EventMetrics;

use crate::cache::generation::Invalidation;
use crate::loader::{Loader, LoaderMetrics};
use crate::model::UserId;
use crate::recommend::Recommender;
use crate::store::write::{Event, Outcome, WriteStore};
use crate::supervise::Task;
use queue::{Batch, Erasure, Sender};
use reckon_contract::Tuning;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

/// Maximum time for the operations in progress to end, and again for the writer.
const CLOSE: Duration = Duration::from_millis(500);

/// The outcome of a request's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored.
    pub accepted: u64,
    /// Received before.
    pub duplicates: u64,
    /// Ignored, because their user was erased after they happened.
    pub ignored: u64,
}

/// Rows of an erased user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// Searches.
    pub searches: u64,
    /// Purchases.
    pub purchases: u64,
}

/// Stores events and erases users.
pub struct Events {
    recommender: Arc<Recommender>,
    queue: Sender,
    state: watch::Receiver<Option<Unavailable>>,
    request_timeout: Duration,
    /// The operations that requests began. They must end even if their clients disconnect.
    begun: TaskTracker,
    closing: watch::Sender<bool>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Events {
    /// Starts the task that owns the connection for events.
    pub fn start<S: WriteStore>(
        store: S,
        recommender: Arc<Recommender>,
        tuning: &Tuning,
        metrics: &Arc<EventMetrics>,
        connections: &Arc<LoaderMetrics>,
    ) -> Self {
        let (queue, receiver) = queue::queue();
        let (announce, state) = watch::channel(Some(Unavailable::Starting));
        let (closing, closed) = watch::channel(false);
        let store = Arc::new(store);
        let proof = Loader::proof(recommender.loader());
        let seat = recommender.loader().writer_seat();
        let (retention, ping_timeout) = (tuning.events.retention(), tuning.store.query_timeout());
        let connection_max_age = tuning.store.connection_max_age();
        let (metrics, tasks) = (Arc::clone(metrics), Arc::clone(&connections.tasks));
        let connections = Arc::clone(connections);
        let start = move |again: bool| {
            let writer = writer::Writer {
                store: Arc::clone(&store),
                queue: receiver.clone(),
                proof: proof.clone(),
                seat: seat.clone(),
                retention,
                connection_max_age,
                ping_timeout,
                state: announce.clone(),
                metrics: Arc::clone(&metrics),
                connections: Arc::clone(&connections),
                closed: closed.clone(),
                session: None,
                abandoned: again.then(Instant::now),
                next_purge: Instant::now(),
            };
            if again {
                announce.send_replace(Some(Unavailable::Starting));
            }
            writer.run()
        };
        let writer = tokio::spawn(tasks.keep(Task::EventWriter, start));
        Self {
            recommender,
            queue,
            state,
            request_timeout: tuning.server.request_timeout(),
            begun: TaskTracker::new(),
            closing,
            writer: Mutex::new(Some(writer)),
        }
    }

    /// Why nothing can be stored at present; `None`: events can be stored.
    #[must_use]
    pub fn unavailable(&self) -> Option<Unavailable> {
        *self.state.borrow()
    }

    /// Stores the events that were not received before: either all of the request or none. After the call returns,
    /// later requests get the new data, as after an invalidation.
    ///
    /// # Errors
    /// See [`Failure`]. The error is returned by the request's deadline.
    pub async fn store(&self, events: Vec<Event>) -> Result<Counts, Failure> {
        let deadline = self.admit()?;
        let mut users: Vec<UserId> = events.iter().map(|event| event.user.clone()).collect();
        users.sort_unstable();
        users.dedup();
        let (reply, answer) = oneshot::channel();
        self.queue.batch(Batch {
            events,
            deadline,
            reply,
        })?;
        let outcomes = self
            .finish(answer, users, deadline, leaves_all_unchanged)
            .await?;
        Ok(counted(&outcomes))
    }

    /// Deletes all rows of `user`. Events of the user that happened earlier and arrive later are ignored.
    ///
    /// # Errors
    /// See [`Failure`]. The error is returned by the request's deadline.
    pub async fn erase(&self, user: UserId) -> Result<Erased, Failure> {
        let deadline = self.admit()?;
        let (reply, answer) = oneshot::channel();
        let users = vec![user.clone()];
        self.queue.erasure(Erasure {
            user,
            deadline,
            reply,
        })?;
        // Whatever failed, some rows may be erased.
        let finished = self.finish(answer, users, deadline, |_| false).await?;
        let [searches, purchases] = finished;
        Ok(Erased {
            searches,
            purchases,
        })
    }

    /// When a request that arrives now must be answered.
    fn admit(&self) -> Result<Instant, Failure> {
        match self.unavailable() {
            None | Some(Unavailable::Starting) => Ok(Instant::now() + self.request_timeout),
            Some(unavailable) => Err(Failure::Unavailable(unavailable)),
        }
    }

    /// Waits for the writer and then invalidates. Both happen in a separate task, which continues when the client
    /// disconnects or the deadline passes.
    async fn finish<T: Send + 'static>(
        &self,
        answer: oneshot::Receiver<Result<T, Failure>>,
        users: Vec<UserId>,
        deadline: Instant,
        is_unchanged: fn(Failure) -> bool,
    ) -> Result<T, Failure> {
        let recommender = Arc::clone(&self.recommender);
        let finishing = self.begun.spawn(async move {
            let written = answer.await.unwrap_or(Err(Failure::Unknown));
            if let Err(failure) = written
                && is_unchanged(failure)
            {
                return Err(failure);
            }
            let invalidated = recommender.invalidate(Invalidation::Users(users)).await;
            let written = written?;
            invalidated.map_err(|_| Failure::Unconfirmed)?;
            Ok(written)
        });
        match tokio::time::timeout_at(deadline, finishing).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Failure::Unknown),
        }
    }

    /// Waits for the operations in progress, then closes the connection.
    pub async fn close(&self) {
        self.begun.close();
        timeout(CLOSE, self.begun.wait()).await.ok();
        self.closing.send_replace(true);
        if let Some(mut writer) = self.writer.lock().await.take()
            && timeout(CLOSE, &mut writer).await.is_err()
        {
            writer.abort();
        }
    }
}

/// Whether it is certain that no row changed.
fn leaves_all_unchanged(failure: Failure) -> bool {
    match failure {
        Failure::Unavailable(_) | Failure::Overloaded | Failure::Busy | Failure::Rejected(_) => {
            true
        }
        Failure::Unknown | Failure::Unconfirmed => false,
    }
}

fn counted(outcomes: &[Outcome]) -> Counts {
    let mut counts = Counts::default();
    for outcome in outcomes {
        *match outcome {
            Outcome::Accepted => &mut counts.accepted,
            Outcome::Duplicate => &mut counts.duplicates,
            Outcome::Ignored => &mut counts.ignored,
        } += 1;
    }
    counts
}
