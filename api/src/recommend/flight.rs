//! One load at a time for each user and generation: whoever asks meanwhile waits for the same.

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
pub struct Lost;

/// The loads under way.
pub struct Flights<T> {
    under_way: UnderWay<T>,
}

type UnderWay<T> = Arc<Mutex<HashMap<Key, Flight<T>>>>;

struct Flight<T> {
    began: Instant,
    result: Shared<oneshot::Receiver<T>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            under_way: Arc::new(Mutex::new(HashMap::new())),
        }
    }
}

/// The duty to load, and to say what came of it.
pub struct Ticket<T> {
    /// `None` for a load that nobody else may join. Dropped before `result`: a request must not join a load that has failed.
    entry: Option<Departure<T>>,
    result: oneshot::Sender<T>,
}

struct Departure<T> {
    key: Key,
    under_way: UnderWay<T>,
}

impl<T> Drop for Departure<T> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

impl<T: Clone> Flights<T> {
    /// The result of the load under way for this user and generation, if it did not begin before `not_before`; with a ticket
    /// when the caller is to load.
    pub fn join(
        &self,
        user: UserId,
        generation: Generation,
        not_before: Option<Instant>,
    ) -> (
        impl Future<Output = Result<T, Lost>> + use<T>,
        Option<Ticket<T>>,
    ) {
        let key = (user, generation);
        let mut under_way = lock(&self.under_way);
        let known = under_way.get(&key);
        let may_join = |flight: &&Flight<T>| not_before.is_none_or(|oldest| flight.began >= oldest);
        let (flight, ticket) = if let Some(flight) = known.filter(may_join) {
            (flight.result.clone(), None)
        } else {
            let (sender, receiver) = oneshot::channel();
            let result = receiver.shared();
            let entry = known.is_none().then(|| {
                let (began, result) = (Instant::now(), result.clone());
                under_way.insert(key, Flight { began, result });
                Departure {
                    key,
                    under_way: Arc::clone(&self.under_way),
                }
            });
            let ticket = Ticket {
                entry,
                result: sender,
            };
            (result, Some(ticket))
        };
        (flight.map(|result| result.map_err(|_| Lost)), ticket)
    }
}

impl<T> Ticket<T> {
    /// Ends the flight; who asks from now on starts another.
    pub fn land(self, result: T) {
        drop(self.entry);
        // Nobody waits any more when all clients have gone.
        self.result.send(result).ok();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Flights, Lost};
    use crate::{cache::generation::Generations, model::UserId};
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn those_who_ask_meanwhile_get_the_same_result() {
        let (flights, generations) = (Flights::default(), Generations::default());
        let generation = generations.current(UserId(1));
        let (first, ticket) = flights.join(UserId(1), generation, None);
        let (second, no_ticket) = flights.join(UserId(1), generation, None);
        assert!(no_ticket.is_none());
        ticket.unwrap().land(42);
        assert_eq!((first.await, second.await), (Ok(42), Ok(42)));
        assert!(flights.join(UserId(1), generation, None).1.is_some());
    }

    #[tokio::test]
    async fn who_asks_after_an_invalidation_does_not_join_an_older_load() {
        let (flights, generations) = (Flights::<u8>::default(), Generations::default());
        let (_, older) = flights.join(UserId(1), generations.current(UserId(1)), None);
        generations.invalidate(UserId(1));
        let (_, newer) = flights.join(UserId(1), generations.current(UserId(1)), None);
        assert!(older.is_some() && newer.is_some());
    }

    #[tokio::test]
    async fn a_load_that_is_too_old_is_not_joined_and_goes_on_for_others() {
        let (flights, generations) = (Flights::default(), Generations::default());
        let generation = generations.current(UserId(1));
        let (first, old) = flights.join(UserId(1), generation, None);
        let (second, new) = flights.join(
            UserId(1),
            generation,
            Some(Instant::now() + Duration::from_millis(1)),
        );
        new.unwrap().land(2);
        let (third, none) = flights.join(UserId(1), generation, None);
        assert!(none.is_none());
        old.unwrap().land(1);
        assert_eq!(
            (first.await, second.await, third.await),
            (Ok(1), Ok(2), Ok(1))
        );
    }

    #[tokio::test]
    async fn a_load_that_dies_strands_nobody() {
        let (flights, generations) = (Flights::<u8>::default(), Generations::default());
        let generation = generations.current(UserId(1));
        let (flight, ticket) = flights.join(UserId(1), generation, None);
        drop(ticket);
        assert_eq!(flight.await, Err(Lost));
        assert!(flights.join(UserId(1), generation, None).1.is_some());
    }
}
