//! The queue of users that wait for a connection.

use super::error::LoadError;
use super::metrics::LoaderMetrics;
use crate::model::{History, UserId};
use crate::sync::{Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

/// One user to be loaded, and the request that waits for it.
pub struct Job {
    pub user: UserId,
    pub enqueued: Instant,
    pub deadline: Instant,
    pub reply: oneshot::Sender<Result<History, LoadError>>,
    /// Whether a connection has already broken while serving it.
    pub is_repeated: bool,
}

impl Job {
    fn is_expired(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    fn expire(self) {
        self.reply.send(Err(LoadError::TimedOut)).ok();
    }
}

/// The queue is full or closed.
#[derive(Debug)]
pub struct Full;

/// A bounded queue from which workers take several jobs at a time. Deadlines ascend from front to back, because all jobs
/// have the same time limit, and jobs that are put back go to the front. So expired jobs are at the front.
pub struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    capacity: usize,
    metrics: Arc<LoaderMetrics>,
    /// Notified when a job waits and no worker waits. If it is set, the worker that began to wait last gets the next
    /// job, so that connections that are not needed become idle.
    starved: Option<Arc<Notify>>,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
    /// Workers that wait for jobs.
    idle: usize,
    /// Jobs that were examined to make room.
    #[cfg(test)]
    looks: usize,
}

impl State {
    /// Drops the expired jobs at the front. Examines at most one job that has not expired.
    fn drop_expired(&mut self, now: Instant) {
        while let Some(job) = self.jobs.pop_front() {
            #[cfg(test)]
            {
                self.looks += 1;
            }
            if !job.is_expired(now) {
                self.jobs.push_front(job);
                return;
            }
            job.expire();
        }
    }
}

impl Queue {
    pub fn new(capacity: usize, metrics: Arc<LoaderMetrics>) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            capacity,
            metrics,
            starved: None,
        }
    }

    /// Notifies `starved` when a job waits and no worker waits.
    #[must_use]
    pub fn elastic(self, starved: Arc<Notify>) -> Self {
        Self {
            starved: Some(starved),
            ..self
        }
    }

    /// Jobs that wait for a connection while no worker waits for jobs.
    pub fn starving(&self) -> usize {
        let state = self.state();
        if state.idle == 0 { state.jobs.len() } else { 0 }
    }

    /// Whether no job waits.
    pub fn is_empty(&self) -> bool {
        self.state().jobs.is_empty()
    }

    pub fn push(&self, job: Job) -> Result<(), Full> {
        let mut state = self.state();
        if !state.closed && state.jobs.len() >= self.capacity {
            state.drop_expired(job.enqueued);
        }
        if state.closed || state.jobs.len() >= self.capacity {
            return Err(Full);
        }
        state.jobs.push_back(job);
        self.metrics.queued.set(gauge(state.jobs.len()));
        self.notify(state);
        Ok(())
    }

    /// Wakes a waiting worker for the jobs in `state`, or a worker that may open a connection.
    fn notify(&self, state: MutexGuard<'_, State>) {
        self.notify_starved(state);
        if self.starved.is_some() {
            self.arrived.notify_last();
        } else {
            self.arrived.notify_one();
        }
    }

    /// Puts jobs that were taken but not done back at the front.
    pub fn give_back(&self, jobs: Vec<Job>) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        for job in jobs.into_iter().rev() {
            state.jobs.push_front(job);
        }
        self.metrics.queued.set(gauge(state.jobs.len()));
        self.notify(state);
    }

    /// Waits for jobs and takes at most `most`, the oldest first. Drops jobs that no request waits for any more. `None`: the
    /// queue is closed.
    pub async fn take(&self, most: usize) -> Option<Vec<Job>> {
        let mut arrival = pin!(self.arrived.notified());
        loop {
            // Registered before the check, because `Notify` stores only one notification. If two jobs arrived between
            // check and wait, one of them would wait although a worker is idle.
            arrival.as_mut().enable();
            let idle = match self.take_now(most, Instant::now()) {
                Some(jobs) => return jobs,
                None => Idle(self),
            };
            arrival.as_mut().await;
            drop(idle);
            arrival.set(self.arrived.notified());
        }
    }

    /// The outer `None` means that there is no job yet. The caller then counts as idle.
    #[expect(clippy::option_option, reason = "private, and both levels are said")]
    fn take_now(&self, most: usize, now: Instant) -> Option<Option<Vec<Job>>> {
        let mut state = self.state();
        if state.closed {
            return Some(None);
        }
        let mut jobs = Vec::new();
        while jobs.len() < most
            && let Some(job) = state.jobs.pop_front()
        {
            if job.is_expired(now) {
                job.expire();
            } else if !job.reply.is_closed() {
                self.metrics
                    .wait_seconds
                    .observe((now - job.enqueued).as_secs_f64());
                jobs.push(job);
            }
        }
        self.metrics.queued.set(gauge(state.jobs.len()));
        if jobs.is_empty() {
            state.idle += 1;
            return None;
        }
        self.notify_starved(state);
        Some(Some(jobs))
    }

    fn notify_starved(&self, state: MutexGuard<'_, State>) {
        let is_starved = state.idle == 0 && !state.jobs.is_empty();
        drop(state);
        if is_starved && let Some(starved) = &self.starved {
            starved.notify_one();
        }
    }

    /// Drops all jobs, which notifies the waiting requests, and accepts no more.
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

/// A worker that waits for jobs.
struct Idle<'a>(&'a Queue);

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.idle -= 1;
        self.0.notify_starved(state);
    }
}

fn gauge(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Full, Job, Queue};
    use crate::loader::error::LoadError;
    use crate::metrics::Metrics;
    use crate::model::{History, UserId};
    use futures_util::FutureExt;
    use reckon_contract::Tuning;
    use std::{collections::VecDeque, sync::Arc, time::Duration};
    use tokio::{
        sync::{Notify, oneshot},
        time::Instant,
    };

    const WAIT: Duration = Duration::from_secs(2);

    type Answer = oneshot::Receiver<Result<History, LoadError>>;

    fn queue(capacity: usize) -> Queue {
        let metrics = Metrics::new(&Tuning::default());
        Queue::new(capacity, Arc::clone(&metrics.loader))
    }

    fn job(user: i64, enqueued: Instant) -> (Job, Answer) {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            user: UserId::Integer(user),
            enqueued,
            deadline: enqueued + WAIT,
            reply,
            is_repeated: false,
        };
        (job, answer)
    }

    #[test]
    fn a_rejection_examines_one_job_however_many_wait() {
        let (queue, now) = (queue(10_000), Instant::now());
        let mut answers = Vec::new();
        for user in 0..10_000 {
            let (job, answer) = job(user, now);
            queue.push(job).unwrap();
            answers.push(answer);
        }
        for user in 0..1000 {
            assert!(queue.push(job(user, now).0).is_err());
        }
        assert_eq!(queue.state().looks, 1000);
    }

    #[test]
    fn an_expired_job_fails_with_a_timeout() {
        let (queue, now) = (queue(2), Instant::now());
        let (first, mut result) = job(1, now);
        queue.push(first).unwrap();
        assert!(queue.take_now(1, now + WAIT).is_none());
        assert_eq!(result.try_recv().unwrap(), Err(LoadError::TimedOut));
        let (old, mut result) = job(2, now);
        queue.push(old).unwrap();
        queue.push(job(3, now).0).unwrap();
        queue.push(job(4, now + WAIT).0).unwrap();
        assert_eq!(result.try_recv().unwrap(), Err(LoadError::TimedOut));
    }

    #[tokio::test]
    async fn a_worker_waits_for_jobs_until_the_queue_is_closed() {
        let queue = Arc::new(queue(2));
        let taking = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move {
                let jobs = queue.take(2).await.unwrap();
                let users: Vec<UserId> = jobs.iter().map(|job| job.user.clone()).collect();
                (users, queue.take(2).await.is_none())
            }
        });
        tokio::task::yield_now().await;
        let (job, _answer) = job(1, Instant::now());
        queue.push(job).unwrap();
        tokio::task::yield_now().await;
        queue.close();
        assert_eq!(taking.await.unwrap(), (vec![UserId::Integer(1)], true));
    }

    #[tokio::test]
    async fn closing_the_queue_fails_waiting_jobs_and_rejects_new_ones() {
        let (queue, now) = (queue(2), Instant::now());
        let (waiting, answer) = job(1, now);
        queue.push(waiting).unwrap();
        queue.close();
        assert!(answer.await.is_err());
        assert!(queue.push(job(2, now).0).is_err());
        queue.give_back(vec![job(3, now).0]);
        assert!(queue.take(1).await.is_none());
    }

    #[test]
    fn a_job_that_no_worker_waits_for_asks_for_a_connection() {
        let starved = Arc::new(Notify::new());
        let is_notified = || starved.notified().now_or_never().is_some();
        let queue = queue(5).elastic(Arc::clone(&starved));
        let now = Instant::now();
        assert!(queue.is_empty());
        let (first, _answer) = job(1, now);
        queue.push(first).unwrap();
        assert!(!queue.is_empty());
        assert!(is_notified());
        assert!(queue.take_now(1, now).is_some());
        assert!(!is_notified());
        // Now one worker is idle.
        assert!(queue.take_now(1, now).is_none());
        let (second, _answer) = job(2, now);
        queue.push(second).unwrap();
        assert!(!is_notified());
    }

    #[test]
    fn the_metric_counts_the_jobs_that_wait() {
        let (queue, now) = (queue(5), Instant::now());
        let mut answers = Vec::new();
        for user in 1..=3 {
            let (job, answer) = job(user, now);
            queue.push(job).unwrap();
            answers.push(answer);
            assert_eq!(queue.metrics.queued.get(), user);
        }
        let taken = queue.take_now(2, now).flatten().unwrap();
        assert_eq!(queue.metrics.queued.get(), 1);
        queue.give_back(taken);
        assert_eq!(queue.metrics.queued.get(), 3);
    }

    /// Any order of pushes, takes and give-backs keeps the same jobs as a plain list.
    #[test]
    fn the_queue_holds_the_same_jobs_as_a_plain_list() {
        for seed in 0..300 {
            fastrand::seed(seed);
            let capacity = fastrand::usize(1..6);
            let (queue, mut now) = (queue(capacity), Instant::now());
            let mut model: VecDeque<(i64, Instant)> = VecDeque::new();
            let mut answers = Vec::new();
            for user in 0..60 {
                now += Duration::from_millis(fastrand::u64(0..800));
                if fastrand::u8(0..3) > 0 {
                    let (job, answer) = job(user, now);
                    if model.len() >= capacity {
                        model.retain(|(_, deadline)| now < *deadline);
                    }
                    let has_room = model.len() < capacity;
                    if has_room {
                        model.push_back((user, now + WAIT));
                    }
                    let pushed = queue.push(job).map_err(|Full| ());
                    assert_eq!(pushed.is_ok(), has_room, "seed {seed}, user {user}");
                    answers.push(answer);
                    continue;
                }
                let most = fastrand::usize(1..4);
                let taken = queue.take_now(most, now).flatten().unwrap_or_default();
                let users: Vec<UserId> = taken.iter().map(|job| job.user.clone()).collect();
                let mut expected = Vec::new();
                while expected.len() < most
                    && let Some((user, deadline)) = model.pop_front()
                {
                    if now < deadline {
                        expected.push((user, deadline));
                    }
                }
                let wanted = expected.iter().map(|(user, _)| UserId::Integer(*user));
                let wanted: Vec<UserId> = wanted.collect();
                assert_eq!(users, wanted, "seed {seed}, user {user}");
                if fastrand::bool() {
                    queue.give_back(taken);
                    for job in expected.into_iter().rev() {
                        model.push_front(job);
                    }
                }
            }
        }
    }
}
