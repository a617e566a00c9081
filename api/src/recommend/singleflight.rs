//! Single-flight: concurrent requests for the same user and generation share one load (request coalescing).

use crate::cache::generation::Generation;
use crate::model::UserId;
use crate::sync::{Mutex, MutexGuard, PoisonError};
use foldhash::{HashMap, HashMapExt};
use futures_util::future::{FutureExt, Shared};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

type Key = (UserId, Generation);

/// The load ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

/// The loads in flight.
pub struct SingleFlight<T> {
    under_way: UnderWay<T>,
}

type UnderWay<T> = Arc<Mutex<HashMap<Key, SharedLoad<T>>>>;

struct SharedLoad<T> {
    began: Instant,
    result: Shared<oneshot::Receiver<T>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            under_way: Arc::new(Mutex::new(HashMap::new())),
        }
    }
}

/// Held by the caller that performs the load and publishes its result.
pub struct Leader<T> {
    /// `None` for a load that no other request may join. This field is dropped before `result`, so that no request
    /// joins a load that has failed.
    entry: Option<Registration<T>>,
    result: oneshot::Sender<T>,
}

struct Registration<T> {
    key: Key,
    under_way: UnderWay<T>,
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Joins the load in flight for this user and generation, if it did not begin before `not_before`. Otherwise also
    /// returns a leader, and the caller must load.
    pub fn join(
        &self,
        user: &UserId,
        generation: Generation,
        not_before: Option<Instant>,
    ) -> (
        impl Future<Output = Result<T, Abandoned>> + use<T>,
        Option<Leader<T>>,
    ) {
        let key = (user.clone(), generation);
        let mut under_way = lock(&self.under_way);
        let known = under_way.get(&key);
        let may_join = |load: &&SharedLoad<T>| not_before.is_none_or(|oldest| load.began >= oldest);
        let (load, leader) = if let Some(load) = known.filter(may_join) {
            (load.result.clone(), None)
        } else {
            let (sender, receiver) = oneshot::channel();
            let result = receiver.shared();
            let entry = known.is_none().then(|| {
                let (began, result) = (Instant::now(), result.clone());
                under_way.insert(key.clone(), SharedLoad { began, result });
                Registration {
                    key,
                    under_way: Arc::clone(&self.under_way),
                }
            });
            let leader = Leader {
                entry,
                result: sender,
            };
            (result, Some(leader))
        };
        (load.map(|result| result.map_err(|_| Abandoned)), leader)
    }
}

impl<T> Leader<T> {
    /// Publishes the result and ends the load; later requests start another.
    pub fn complete(self, result: T) {
        drop(self.entry);
        // There is no receiver when all clients have disconnected.
        self.result.send(result).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Abandoned, SingleFlight};
    use crate::{cache::generation::Generations, model::UserId};
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn requests_during_a_load_get_the_same_result() {
        let (single_flight, generations) = (SingleFlight::default(), Generations::default());
        let generation = generations.current(&UserId::Integer(1));
        let (first, leader) = single_flight.join(&UserId::Integer(1), generation, None);
        let (second, no_leader) = single_flight.join(&UserId::Integer(1), generation, None);
        assert!(no_leader.is_none());
        leader.unwrap().complete(42);
        assert_eq!((first.await, second.await), (Ok(42), Ok(42)));
        assert!(
            single_flight
                .join(&UserId::Integer(1), generation, None)
                .1
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_request_after_an_invalidation_does_not_join_an_older_load() {
        let (single_flight, generations) = (SingleFlight::<u8>::default(), Generations::default());
        let (_, older) = single_flight.join(
            &UserId::Integer(1),
            generations.current(&UserId::Integer(1)),
            None,
        );
        generations.invalidate(&UserId::Integer(1));
        let (_, newer) = single_flight.join(
            &UserId::Integer(1),
            generations.current(&UserId::Integer(1)),
            None,
        );
        assert!(older.is_some() && newer.is_some());
    }

    #[tokio::test]
    async fn a_load_that_is_too_old_is_not_joined_and_continues_for_others() {
        let (single_flight, generations) = (SingleFlight::default(), Generations::default());
        let generation = generations.current(&UserId::Integer(1));
        let (first, old) = single_flight.join(&UserId::Integer(1), generation, None);
        let (second, new) = single_flight.join(
            &UserId::Integer(1),
            generation,
            Some(Instant::now() + Duration::from_millis(1)),
        );
        new.unwrap().complete(2);
        let (third, none) = single_flight.join(&UserId::Integer(1), generation, None);
        assert!(none.is_none());
        old.unwrap().complete(1);
        assert_eq!(
            (first.await, second.await, third.await),
            (Ok(1), Ok(2), Ok(1))
        );
    }

    #[tokio::test]
    async fn an_abandoned_load_is_reported_and_not_joined() {
        let (single_flight, generations) = (SingleFlight::<u8>::default(), Generations::default());
        let generation = generations.current(&UserId::Integer(1));
        let (load, leader) = single_flight.join(&UserId::Integer(1), generation, None);
        drop(leader);
        assert_eq!(load.await, Err(Abandoned));
        assert!(
            single_flight
                .join(&UserId::Integer(1), generation, None)
                .1
                .is_some()
        );
    }
}
