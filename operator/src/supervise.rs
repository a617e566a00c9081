//! Panics and stalls. A panic in a piece of work becomes an error. A task that panics is restarted. If a controller no
//! longer runs, the liveness probe fails.

use crate::metrics::Metrics;
use futures_util::FutureExt as _;
use std::any::Any;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinError;
use tokio::time::{Instant, interval, sleep};
use tracing::error;

/// Pause between a panic and the restart.
const PAUSE: Duration = Duration::from_secs(1);
/// Interval of heartbeats.
const PERIOD: Duration = Duration::from_secs(5);
/// A controller without a heartbeat for this long counts as stuck. Far longer than the longest step between two awaits.
pub const STALLED_AFTER: Duration = Duration::from_mins(3);

/// The message of a panic.
#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
pub struct Panic(String);

impl Panic {
    fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        Self(text.unwrap_or("without a message").to_owned())
    }
}

/// Returns the result of `work`.
///
/// # Errors
/// The work panicked, and was dropped.
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panic> {
    let caught = AssertUnwindSafe(work).catch_unwind().await;
    caught.map_err(|payload| Panic::of(&*payload))
}

/// Runs the task that `start` creates, and another one after each panic, until one ends.
pub async fn keep<F: Future<Output = ()>>(
    task: &'static str,
    metrics: Arc<Metrics>,
    mut start: impl FnMut() -> F,
) {
    while let Err(panic) = caught(start()).await {
        metrics.panicked(task);
        error!(task, "{panic}; restarting it");
        sleep(PAUSE).await;
    }
}

/// Why a task ended that should run as long as the process.
#[must_use]
pub fn end(ended: Result<(), JoinError>) -> String {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(()) => "it ended".to_owned(),
        Err(Ok(payload)) => Panic::of(&*payload).to_string(),
        Err(Err(error)) => error.to_string(),
    }
}

/// The time of a task's last heartbeat.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    /// The pulse of a task that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Sends heartbeats for ever. The task itself polls this future, so the heartbeats stop when the task is stuck.
    pub async fn beat(&self) -> Infallible {
        let mut ticks = interval(PERIOD);
        loop {
            ticks.tick().await;
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }

    /// Whether the task has been stuck for long, or has ended.
    #[must_use]
    pub fn is_old(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed() > STALLED_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::{Pulse, STALLED_AFTER, caught, end, keep};
    use crate::metrics::Metrics;
    use std::cell::Cell;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::{advance, sleep};

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_message() {
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
        let panic = caught::<()>(async { panic!("number {}", 8) }).await;
        assert_eq!(panic.unwrap_err().to_string(), "panicked: number 8");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_restarted_and_counted() {
        let metrics = Arc::new(Metrics::new("lease"));
        let starts = Cell::new(0);
        keep("health", Arc::clone(&metrics), || {
            starts.set(starts.get() + 1);
            let start = starts.get();
            async move { assert!(start > 2, "not yet") }
        })
        .await;
        assert_eq!(starts.get(), 3);
        let text = metrics.text(None);
        assert!(
            text.contains("reckon_operator_panics_total{task=\"health\"} 2\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn the_end_of_a_task_is_reported_with_its_cause() {
        let end_of = async |task: tokio::task::JoinHandle<()>| end(task.await);
        assert_eq!(end_of(tokio::spawn(async {})).await, "it ended");
        let panicking = tokio::spawn(async { panic!("a defect") });
        assert_eq!(end_of(panicking).await, "panicked: a defect");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pulse_without_beats_is_old() {
        let pulse = Pulse::new();
        let beating = pulse.clone();
        let beating = tokio::spawn(async move { beating.beat().await });
        sleep(STALLED_AFTER * 2).await;
        assert!(!pulse.is_old());
        beating.abort();
        advance(STALLED_AFTER + Duration::from_secs(6)).await;
        assert!(pulse.is_old());
    }
}
