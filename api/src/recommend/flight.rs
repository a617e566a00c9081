//! One load at a time for each user and generation: whoever asks meanwhile waits for the same.

use crate::cache::generation::Generation;
use crate::model::UserId;
use foldhash::{HashMap, HashMapExt};
use futures_util::future::{FutureExt, Shared};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

type Key = (UserId, Generation);

/// The load ended without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

/// The loads under way.
pub struct Flights<T> {
    under_way: Arc<Mutex<HashMap<Key, Shared<oneshot::Receiver<T>>>>>,
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
    result: oneshot::Sender<T>,
    entry: Departure<T>,
}

struct Departure<T> {
    key: Key,
    under_way: Arc<Mutex<HashMap<Key, Shared<oneshot::Receiver<T>>>>>,
}

impl<T> Drop for Departure<T> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

impl<T: Clone> Flights<T> {
    /// The result of the load under way for this user and generation; with a ticket when the caller is to load.
    pub fn join(
        &self,
        user: UserId,
        generation: Generation,
    ) -> (
        impl Future<Output = Result<T, Lost>> + use<T>,
        Option<Ticket<T>>,
    ) {
        let key = (user, generation);
        let mut under_way = lock(&self.under_way);
        let (flight, ticket) = if let Some(flight) = under_way.get(&key) {
            (flight.clone(), None)
        } else {
            let (result, flight) = oneshot::channel();
            let flight = flight.shared();
            under_way.insert(key, flight.clone());
            let entry = Departure {
                key,
                under_way: Arc::clone(&self.under_way),
            };
            (flight, Some(Ticket { result, entry }))
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

    #[tokio::test]
    async fn those_who_ask_meanwhile_get_the_same_result() {
        let (flights, generations) = (Flights::default(), Generations::default());
        let generation = generations.current(UserId(1));
        let (first, ticket) = flights.join(UserId(1), generation);
        let (second, no_ticket) = flights.join(UserId(1), generation);
        assert!(no_ticket.is_none());
        ticket.unwrap().land(42);
        assert_eq!((first.await, second.await), (Ok(42), Ok(42)));
        assert!(flights.join(UserId(1), generation).1.is_some());
    }

    #[tokio::test]
    async fn who_asks_after_an_invalidation_does_not_join_an_older_load() {
        let (flights, generations) = (Flights::<u8>::default(), Generations::default());
        let (_, older) = flights.join(UserId(1), generations.current(UserId(1)));
        generations.invalidate(UserId(1));
        let (_, newer) = flights.join(UserId(1), generations.current(UserId(1)));
        assert!(older.is_some() && newer.is_some());
    }

    #[tokio::test]
    async fn a_load_that_dies_strands_nobody() {
        let (flights, generations) = (Flights::<u8>::default(), Generations::default());
        let generation = generations.current(UserId(1));
        let (flight, ticket) = flights.join(UserId(1), generation);
        drop(ticket);
        assert_eq!(flight.await, Err(Lost));
        assert!(flights.join(UserId(1), generation).1.is_some());
    }
}
