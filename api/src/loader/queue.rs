//! Users that wait for a connection.

use super::LoadError;
use crate::metrics::LoaderMetrics;
use crate::model::{History, UserId};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// One user to be read, and who waits for it.
pub struct Job {
    pub user: UserId,
    pub enqueued: Instant,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<History, LoadError>>,
}

impl Job {
    /// Whether somebody still waits for the answer.
    fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && now < self.deadline
    }
}

/// The queue has no place left, or is closed.
#[derive(Debug)]
pub struct Full;

/// A bounded queue that is emptied several jobs at a time.
pub struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    capacity: usize,
    metrics: Arc<LoaderMetrics>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Queue {
    pub fn new(capacity: usize, metrics: Arc<LoaderMetrics>) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            capacity,
            metrics,
        }
    }

    pub fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.state();
        if !state.closed && state.jobs.len() >= self.capacity {
            // Those who gave up hold no places.
            let now = Instant::now();
            state.jobs.retain(|job| job.is_wanted(now));
        }
        if state.closed || state.jobs.len() >= self.capacity {
            return Err(Full);
        }
        state.jobs.push_back(job);
        self.metrics.queued.set(gauge(state.jobs.len()));
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Puts back what was taken and not done, before all others.
    pub fn give_back(&self, jobs: Vec<Job>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        for job in jobs.into_iter().rev() {
            state.jobs.push_front(job);
        }
        self.metrics.queued.set(gauge(state.jobs.len()));
        drop(state);
        self.arrived.notify_one();
    }

    /// Waits for jobs and takes at most `most`, the oldest first, leaving out those that nobody waits for any more;
    /// `None` when the queue is closed.
    pub async fn take(&self, most: usize) -> Option<Vec<Job>> {
        loop {
            let arrival = self.arrived.notified();
            if let Some(jobs) = self.take_now(most) {
                return jobs;
            }
            arrival.await;
        }
    }

    /// The outer `None` says that there is nothing to do yet.
    #[expect(clippy::option_option, reason = "private, and both levels are said")]
    fn take_now(&self, most: usize) -> Option<Option<Vec<Job>>> {
        let mut state = self.state();
        if state.closed {
            return Some(None);
        }
        let now = Instant::now();
        let mut jobs = Vec::new();
        while jobs.len() < most
            && let Some(job) = state.jobs.pop_front()
        {
            if job.is_wanted(now) {
                self.metrics
                    .wait_seconds
                    .observe((now - job.enqueued).as_secs_f64());
                jobs.push(job);
            }
        }
        self.metrics.queued.set(gauge(state.jobs.len()));
        (!jobs.is_empty()).then_some(Some(jobs))
    }

    /// Drops all jobs, so that those who wait learn of it, and takes no more.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gauge(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
