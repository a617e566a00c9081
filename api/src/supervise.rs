//! Supervises the tasks of the process: a task that panics is logged, counted and restarted.
//!
//! [`Supervisor::trouble`] reports failures that cannot be repaired, for the liveness probe.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use reckon_metrics::Register as _;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, interval, sleep};
use tracing::{debug, error};

/// Pause between a panic and the next start.
const PAUSE: Duration = Duration::from_millis(500);
/// The same panic of the same task is logged again only if it has not occurred for this long.
const REPEATED_WITHIN: Duration = Duration::from_mins(1);
/// Time between two heartbeats.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);
/// Without a heartbeat for this long the runtime counts as stuck.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// The supervised tasks, as metrics name them: a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Probes the store.
    Prober,
    /// Owns one connection to the store.
    ConnectionWorker,
    /// Stores events, over a connection of its own.
    EventWriter,
    /// Reloads the API keys.
    ApiKeys,
    /// Follows the model in a file.
    ModelFile,
    /// Keeps the connection to the shared cache open.
    SharedCache,
    /// Logs when 503 responses begin and end.
    Outages,
    /// Follows new rows of the tables.
    Freshness,
}

impl Task {
    const ALL: [Self; 8] = [
        Self::Prober,
        Self::ConnectionWorker,
        Self::EventWriter,
        Self::ApiKeys,
        Self::ModelFile,
        Self::SharedCache,
        Self::Outages,
        Self::Freshness,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Prober => "prober",
            Self::ConnectionWorker => "connection_worker",
            Self::EventWriter => "event_writer",
            Self::ApiKeys => "api_keys",
            Self::ModelFile => "model_file",
            Self::SharedCache => "shared_cache",
            Self::Outages => "outages",
            Self::Freshness => "freshness",
        }
    }
}

/// Why the process can no longer work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A task has ended and is not restarted.
    #[error("the task {:?} has ended", .0.as_str())]
    Ended(Task),
    /// The runtime no longer runs tasks.
    #[error("no heartbeat for {} s", STALLED_AFTER.as_secs())]
    Stalled,
}

/// Starts tasks, and counts restarts.
pub struct Supervisor {
    /// Counters by task, in the order of the tasks' values.
    restarts: [Counter; Task::ALL.len()],
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The latest panic of each task, and its time.
    panics: Vec<(Task, Panic, Instant)>,
    closing: bool,
    ended: Option<Task>,
    beat: Option<Instant>,
}

impl Supervisor {
    /// A supervisor without tasks, with its metric in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let restarts = registry.add_labelled(
            "task_restarts",
            "Background tasks that panicked and were restarted",
            "task",
            Task::ALL.map(Task::as_str),
        );
        Self {
            restarts,
            state: Mutex::default(),
        }
    }

    /// Runs the future that `start` creates, and a new one after each panic, until a future ends. The argument of
    /// `start` is whether this start follows a panic.
    pub async fn keep<F: Future<Output = ()> + Send>(
        self: Arc<Self>,
        task: Task,
        mut start: impl FnMut(bool) -> F,
    ) {
        // This runs in every case, even after a panic while the panicked future is dropped.
        let _ended = EndGuard(&self, task);
        let mut again = false;
        while let Err(panic) = Caught(Box::pin(start(again))).await {
            self.note(task, panic);
            again = true;
            sleep(PAUSE).await;
        }
    }

    /// Counts a panic, and logs it unless the last panic of this task was the same.
    fn note(&self, task: Task, panic: Panic) {
        let name = task.as_str();
        self.restarts[task as usize].inc();
        let mut state = self.state();
        let is_known = state.panics.iter().any(|(of, known, at)| {
            *of == task && *known == panic && at.elapsed() < REPEATED_WITHIN
        });
        let Panic { text, place } = &panic;
        if is_known {
            debug!(task = name, panic = text, place, "task panicked again");
        } else {
            error!(
                task = name,
                panic = text,
                place,
                "task panicked, restarting it"
            );
        }
        state.panics.retain(|(of, ..)| *of != task);
        state.panics.push((task, panic, Instant::now()));
    }

    /// Sends heartbeats without end; they prove that the runtime runs tasks.
    pub(crate) async fn heartbeat(self: Arc<Self>) {
        let mut ticks = interval(HEARTBEAT_PERIOD);
        loop {
            ticks.tick().await;
            self.state().beat = Some(Instant::now());
        }
    }

    /// Why the process can no longer work; `None` while it can.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let state = self.state();
        let is_stalled = state.beat.is_some_and(|at| at.elapsed() > STALLED_AFTER);
        let ended = state.ended.map(Trouble::Ended);
        ended.or(is_stalled.then_some(Trouble::Stalled))
    }

    /// From this call on, tasks may end without being reported.
    pub fn close(&self) {
        self.state().closing = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Records that a task has ended.
struct EndGuard<'a>(&'a Supervisor, Task);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        let Self(supervisor, task) = self;
        let mut state = supervisor.state();
        if !state.closing {
            error!(task = task.as_str(), "task ended");
            state.ended = Some(*task);
        }
    }
}

thread_local! {
    /// Whether this thread is running a supervised task.
    static SUPERVISED: Cell<bool> = const { Cell::new(false) };
    /// The location of the panic of this thread's task.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Logs panics in the log's format instead of printing them to standard error. Panics of supervised tasks are logged by
/// the supervisor.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string);
        if SUPERVISED.get() {
            PLACE.set(place);
        } else {
            let panic = text(info.payload());
            error!(panic, place, "panicked");
        }
    }));
}

/// The message and the location of a panic.
#[derive(PartialEq, Eq)]
struct Panic {
    text: String,
    place: Option<String>,
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

/// A future whose panic becomes its result.
struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        SUPERVISED.set(true);
        // After a panic the future is not polled again: it is dropped.
        let polled = catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context)));
        SUPERVISED.set(false);
        let caught = match polled {
            Ok(polled) => Ok(ready!(polled)),
            Err(payload) => Err(Panic {
                text: text(&*payload),
                place: PLACE.take(),
            }),
        };
        Poll::Ready(caught)
    }
}

#[cfg(test)]
mod tests {
    use super::{STALLED_AFTER, Supervisor, Task, Trouble};
    use prometheus_client::registry::Registry;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::time::Duration;
    use tokio::time::{advance, sleep};

    fn supervisor() -> Arc<Supervisor> {
        Arc::new(Supervisor::new(&mut Registry::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_restarted_and_counted() {
        let supervisor = supervisor();
        let starts = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&starts);
        let kept = Arc::clone(&supervisor).keep(Task::ConnectionWorker, move |again| {
            let start = count.fetch_add(1, SeqCst);
            assert_eq!(again, start > 0);
            async move { assert_eq!(start, 3, "not yet") }
        });
        tokio::spawn(kept).await.unwrap();
        assert_eq!(starts.load(SeqCst), 4);
        let restarts = supervisor.restarts[Task::ConnectionWorker as usize].get();
        assert_eq!(restarts, 3);
    }

    #[tokio::test]
    async fn a_task_that_ends_or_is_aborted_is_a_failure_unless_the_process_ends() {
        let ended = supervisor();
        Arc::clone(&ended).keep(Task::ApiKeys, |_| async {}).await;
        assert_eq!(ended.trouble(), Some(Trouble::Ended(Task::ApiKeys)));

        let aborted = supervisor();
        let kept = Arc::clone(&aborted).keep(Task::Prober, |_| std::future::pending());
        let kept = tokio::spawn(kept);
        tokio::task::yield_now().await;
        kept.abort();
        assert!(kept.await.unwrap_err().is_cancelled());
        assert_eq!(aborted.trouble(), Some(Trouble::Ended(Task::Prober)));

        let closing = supervisor();
        closing.close();
        Arc::clone(&closing).keep(Task::ApiKeys, |_| async {}).await;
        assert_eq!(closing.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_heartbeat_is_a_failure() {
        let supervisor = supervisor();
        assert_eq!(supervisor.trouble(), None);
        let beating = tokio::spawn(Arc::clone(&supervisor).heartbeat());
        sleep(STALLED_AFTER * 2).await;
        assert_eq!(supervisor.trouble(), None);
        beating.abort();
        advance(STALLED_AFTER + Duration::from_secs(2)).await;
        let trouble = supervisor.trouble();
        assert_eq!(trouble, Some(Trouble::Stalled));
        assert_eq!(trouble.unwrap().to_string(), "no heartbeat for 30 s");
    }
}
