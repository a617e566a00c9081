//! The places of a port: a fixed number of connections, and whose place a newcomer gets when all are taken.
//!
//! Not refused, as long as a client wastes a place: whoever takes all places without using them would lock everybody out.
//! The connection that has kept us waiting for the longest time is closed, as nginx does when its workers run out of
//! connections: half a head before an idle one, and that before one whose client takes its answer slowly. Only when every
//! connection is being answered is the newcomer refused.

use super::pace::{Pace, Wait};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that are looked at for the longest wait, chosen at random. All of them would cost more than the newcomer is
/// worth, and an order of all of them would cost every request.
const LOOKED_AT: usize = 16;

/// The places of one port, and who has them. Owned by the accept loop.
pub struct Room {
    places: Arc<Semaphore>,
    /// Every connection that is open and not asked to end, and some that have ended.
    open: Vec<Weak<Pace>>,
    most: usize,
}

/// A place, or the next one that becomes free: one will, since a connection has been asked to end.
pub enum Place {
    /// A free one.
    Free(OwnedSemaphorePermit),
    /// That of a connection that ends: in the order of those who wait, so that no later one gets it.
    Next(BoxFuture<'static, Option<OwnedSemaphorePermit>>),
}

/// Every connection is being answered.
#[derive(Debug)]
pub struct Full;

impl Room {
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(most)),
            open: Vec::new(),
            most,
        }
    }

    /// A place for `newcomer`: a free one, or that of another connection, which is asked to end.
    pub fn enter(&mut self, newcomer: &Arc<Pace>) -> Result<Place, Full> {
        let entry = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => Place::Free(permit),
            Err(_none) => {
                let victim = self.longest_wait().ok_or(Full)?;
                let places = Arc::clone(&self.places);
                let mut next = async move { places.acquire_owned().await.ok() }.boxed();
                // Queued here and now, before the place is free.
                let at_once = (&mut next).now_or_never();
                victim.close();
                match at_once.flatten() {
                    Some(permit) => Place::Free(permit),
                    None => Place::Next(next),
                }
            }
        };
        if self.open.len() >= 2 * self.most {
            self.open.retain(|pace| pace.strong_count() > 0);
        }
        self.open.push(Arc::downgrade(newcomer));
        Ok(entry)
    }

    /// Takes out of a sample of connections the one whose client has kept it waiting for longest.
    fn longest_wait(&mut self) -> Option<Arc<Pace>> {
        let mut longest: Option<(Wait, usize)> = None;
        for _ in 0..LOOKED_AT.min(self.open.len()) {
            let at = fastrand::usize(..self.open.len());
            let wait = self.open[at].upgrade().and_then(|pace| pace.wait());
            if let Some(wait) = wait.filter(|wait| wait.is_long())
                && longest.is_none_or(|(known, _)| wait > known)
            {
                longest = Some((wait, at));
            }
        }
        let (_, at) = longest?;
        self.open.swap_remove(at).upgrade()
    }
}

impl Place {
    /// The place, as soon as it is free; `None` when this connection is asked to end before.
    pub async fn taken(self, pace: &Pace) -> Option<OwnedSemaphorePermit> {
        match self {
            Self::Free(permit) => Some(permit),
            Self::Next(next) => tokio::select! {
                permit = next => permit,
                () = pace.closing() => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Room};
    use crate::http::server::pace::Pace;
    use futures_util::FutureExt;
    use std::sync::Arc;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(1);

    fn enter(room: &mut Room) -> Option<(Arc<Pace>, Place)> {
        let pace = Arc::new(Pace::new());
        let entry = room.enter(&pace).ok()?;
        Some((pace, entry))
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_gets_the_place_of_half_a_head_and_waits_until_it_is_free() {
        let mut room = Room::new(8);
        let mut open = Vec::new();
        for number in 0..8 {
            let (pace, entry) = enter(&mut room).unwrap();
            if number > 0 {
                pace.request_began();
            }
            open.push((pace.clone(), entry.taken(&pace).await.unwrap()));
        }
        // Everybody is young, or being answered.
        assert!(enter(&mut room).is_none());
        tokio::time::sleep(LONG).await;
        // A sample may miss it.
        let (newcomer, entry) = loop {
            if let Some(entered) = enter(&mut room) {
                break entered;
            }
        };
        let half_a_head = open.remove(0);
        half_a_head.0.closing().await;
        let mut taken = std::pin::pin!(entry.taken(&newcomer));
        assert!(futures_util::poll!(taken.as_mut()).is_pending());
        drop(half_a_head);
        let _place = taken.await.unwrap();
        // Nobody is asked twice.
        assert!(enter(&mut room).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn all_places_may_be_taken_by_those_who_do_not_use_them() {
        let mut room = Room::new(100);
        let mut open = Vec::new();
        for _ in 0..100 {
            let (pace, entry) = enter(&mut room).unwrap();
            open.push((pace.clone(), entry.taken(&pace).await.unwrap()));
        }
        for round in 0..1000 {
            tokio::time::sleep(LONG).await;
            let (newcomer, entry) = enter(&mut room).unwrap();
            let asked = open
                .iter()
                .position(|(pace, _)| pace.closing().now_or_never().is_some());
            drop(open.swap_remove(asked.unwrap()));
            let entry = entry.taken(&newcomer).await.unwrap();
            open.push((newcomer, entry));
            assert_eq!(open.len(), 100, "{round}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_overtakes_a_newcomer_that_waits_for_a_place() {
        let mut room = Room::new(1);
        let (half_a_head, entry) = enter(&mut room).unwrap();
        let held = entry.taken(&half_a_head).await;
        tokio::time::sleep(LONG).await;
        let (first, entry) = enter(&mut room).unwrap();
        // It ends before the newcomer's task has run, and another newcomer comes.
        drop((half_a_head, held));
        assert!(enter(&mut room).is_none());
        assert!(entry.taken(&first).now_or_never().flatten().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_have_ended_are_not_kept() {
        let mut room = Room::new(10);
        for _ in 0..10_000 {
            let entered = enter(&mut room).unwrap();
            drop(entered);
        }
        assert!(room.open.len() <= 20, "{}", room.open.len());
    }
}
