//! Joins the look-ups of concurrent requests into few script calls. A call costs Redis and this process several times
//! as much as a further entry in a call.

use super::calls::Calls;
use super::connection::CurrentConnection;
use super::lookup::Lookup;
use crate::model::UserId;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// A call with this many users takes no further look-up. Redis serves no other client during a call.
const USERS_OF_A_CALL: usize = 64;
/// Calls in flight. Look-ups that arrive meanwhile wait for the next call.
const CALLS_IN_FLIGHT: usize = 2;

/// The look-ups of one process.
pub struct JoinedLookups {
    calls: Arc<Calls>,
    state: Arc<CurrentConnection>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    in_flight: usize,
}

/// The look-up of one request.
struct Waiting {
    users: Vec<UserId>,
    model: u64,
    reply: oneshot::Sender<Vec<Lookup>>,
}

impl Queue {
    /// Adds a look-up. Returns whether the caller must start a task that makes calls.
    fn push(&mut self, waiting: Waiting) -> bool {
        self.waiting.push_back(waiting);
        let is_free = self.in_flight < CALLS_IN_FLIGHT;
        self.in_flight += usize::from(is_free);
        is_free
    }

    /// The look-ups of the next call: the oldest one, and later ones for the same model. `None`: no look-up waits, and
    /// the caller must make no further call.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        // A request whose deadline has passed does not wait any more.
        self.waiting.retain(|waiting| !waiting.reply.is_closed());
        let Some(model) = self.waiting.front().map(|first| first.model) else {
            self.in_flight -= 1;
            return None;
        };
        let (mut joined, mut users) = (Vec::new(), 0);
        while users < USERS_OF_A_CALL
            && let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.model == model)
        {
            users += waiting.users.len();
            joined.push(waiting);
        }
        Some(joined)
    }
}

impl JoinedLookups {
    pub fn new(calls: Arc<Calls>, state: Arc<CurrentConnection>) -> Self {
        Self {
            calls,
            state,
            queue: Mutex::default(),
        }
    }

    /// Looks up each of `users`, in their order. Every failure is a miss, by the deadline at the latest.
    pub async fn get(self: &Arc<Self>, users: Vec<UserId>, model: u64) -> Vec<Lookup> {
        let count = users.len();
        if self.state.usable().is_none() {
            return missing(count).collect();
        }
        let deadline = Instant::now() + self.calls.deadline;
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            users,
            model,
            reply,
        };
        if self.queue().push(waiting) {
            let slot = Slot {
                lookups: Arc::clone(self),
                is_held: true,
            };
            tokio::spawn(slot.run());
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => missing(count).collect(),
        }
    }

    /// One call for all of `joined`, which have the same model.
    async fn call(&self, mut joined: Vec<Waiting>) {
        let mut users = Vec::new();
        let counts: Vec<usize> = joined.iter().map(|waiting| waiting.users.len()).collect();
        for waiting in &mut joined {
            users.append(&mut waiting.users);
        }
        let model = joined.first().map_or(0, |first| first.model);
        let found = match self.state.usable() {
            Some(connection) => self.calls.read(&connection, &users, model).await,
            None => None,
        };
        let mut found = found
            .unwrap_or_else(|| missing(users.len()).collect())
            .into_iter();
        for (waiting, count) in joined.into_iter().zip(counts) {
            waiting
                .reply
                .send(found.by_ref().take(count).collect())
                .ok();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to make one call at a time. A panic releases the right too.
struct Slot {
    lookups: Arc<JoinedLookups>,
    is_held: bool,
}

impl Slot {
    /// Calls until no look-up waits.
    async fn run(mut self) {
        loop {
            let Some(joined) = self.lookups.queue().next() else {
                break;
            };
            self.lookups.call(joined).await;
        }
        self.is_held = false;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.is_held {
            self.lookups.queue().in_flight -= 1;
        }
    }
}

fn missing(users: usize) -> impl Iterator<Item = Lookup> {
    (0..users).map(|_| Lookup::Missing(None, None))
}

#[cfg(test)]
mod tests {
    use super::{
        CALLS_IN_FLIGHT, Calls, CurrentConnection, JoinedLookups, Lookup, Queue, Slot,
        USERS_OF_A_CALL, Waiting,
    };
    use crate::cache::shared::key_names::Identity;
    use crate::metrics::Metrics;
    use crate::model::UserId;
    use reckon_contract::Tuning;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn waiting(users: usize, model: u64) -> (Waiting, oneshot::Receiver<Vec<Lookup>>) {
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting {
            users: vec![UserId::Integer(1); users],
            model,
            reply,
        };
        (waiting, answer)
    }

    /// Users of each look-up of the next call.
    fn next(queue: &mut Queue) -> Option<Vec<usize>> {
        let joined = queue.next()?;
        Some(joined.iter().map(|waiting| waiting.users.len()).collect())
    }

    #[test]
    fn calls_in_flight_are_bounded_and_further_look_ups_are_joined() {
        let mut queue = Queue::default();
        let mut answers = Vec::new();
        let mut push = |queue: &mut Queue| {
            let (waiting, answer) = waiting(1, 7);
            answers.push(answer);
            queue.push(waiting)
        };
        for _ in 0..CALLS_IN_FLIGHT {
            assert!(push(&mut queue));
            assert_eq!(next(&mut queue), Some(vec![1]));
        }
        for _ in 0..=USERS_OF_A_CALL {
            assert!(!push(&mut queue));
        }
        assert_eq!(next(&mut queue), Some(vec![1; USERS_OF_A_CALL]));
        assert_eq!(next(&mut queue), Some(vec![1]));
        for _ in 0..CALLS_IN_FLIGHT {
            assert_eq!(next(&mut queue), None);
        }
        assert!(push(&mut queue), "a call may begin again");
    }

    #[test]
    fn look_ups_for_another_model_are_in_another_call() {
        let mut queue = Queue::default();
        let mut answers = Vec::new();
        for model in [1, 1, 2, 1] {
            let (waiting, answer) = waiting(2, model);
            answers.push(answer);
            queue.push(waiting);
        }
        let calls = [next(&mut queue), next(&mut queue), next(&mut queue)];
        assert_eq!(calls, [Some(vec![2, 2]), Some(vec![2]), Some(vec![2])]);
    }

    #[test]
    fn a_cancelled_look_up_is_dropped() {
        let mut queue = Queue::default();
        let (abandoned, answer) = waiting(1, 1);
        drop(answer);
        assert!(queue.push(abandoned));
        assert_eq!(next(&mut queue), None);
        assert_eq!(queue.in_flight, 0);
    }

    #[test]
    fn a_task_that_ends_early_leaves_its_call_to_another() {
        let tuning = Tuning::default();
        let metrics = Arc::clone(&Metrics::new(&tuning).shared);
        let calls = Calls {
            identity: Identity::new(Some("shop"), "", &tuning),
            deadline: Duration::from_secs(1),
            metrics: Arc::clone(&metrics),
        };
        let state = CurrentConnection::new(metrics);
        let lookups = Arc::new(JoinedLookups::new(Arc::new(calls), Arc::new(state)));
        let (waiting, _answer) = waiting(1, 7);
        assert!(lookups.queue().push(waiting));
        drop(Slot {
            lookups: Arc::clone(&lookups),
            is_held: true,
        });
        assert_eq!(lookups.queue().in_flight, 0);
    }
}
