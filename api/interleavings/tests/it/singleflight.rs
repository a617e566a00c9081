//! Joined loads: one load at a time for each user and generation, while invalidations arrive and loads fail.

use crate::explore::explore;
use reckon_api::model::UserId;
use reckon_interleavings::cache::generation::{Generations, Invalidation};
use reckon_interleavings::recommend::singleflight::{Abandoned, SingleFlight};
use reckon_interleavings::sync::atomic::{AtomicU64, Ordering::SeqCst};
use shuttle::future::{JoinHandle, spawn};
use shuttle::rand::{Rng as _, thread_rng};
use std::sync::Arc;

const USER: UserId = UserId::Integer(1);

/// A table with one value, and one process that loads it.
#[derive(Default)]
struct Service {
    table: AtomicU64,
    /// The latest value whose invalidation has returned.
    invalidated: AtomicU64,
    generations: Generations,
    single_flight: SingleFlight<u64>,
}

impl Service {
    /// Like the recommender: reads the generation, then joins the load in flight, or starts one in a separate task.
    /// With `may_fail`, some of these tasks end without a result.
    async fn read(self: &Arc<Self>, may_fail: bool) -> Result<u64, Abandoned> {
        let generation = self.generations.current(&USER);
        let (flight, leader) = self.single_flight.join(&USER, generation, None);
        if let Some(leader) = leader {
            let service = Arc::clone(self);
            spawn(async move {
                if may_fail && thread_rng().gen_bool(0.5) {
                    drop(leader);
                } else {
                    leader.complete(service.table.load(SeqCst));
                }
            });
        }
        flight.await
    }

    /// A client writes a value, and then invalidates.
    fn write(self: &Arc<Self>, what: Invalidation) -> JoinHandle<()> {
        let service = Arc::clone(self);
        spawn(async move {
            let value = service.table.fetch_add(1, SeqCst) + 1;
            service.generations.apply(&what);
            service.invalidated.fetch_max(value, SeqCst);
        })
    }
}

/// Two writers and three readers: a request that arrives after an invalidation has returned never gets an older value.
#[test]
fn no_request_gets_a_value_older_than_the_last_invalidation() {
    explore(4_000, || async {
        let service = Arc::new(Service::default());
        let writes = [
            service.write(Invalidation::Users(vec![USER])),
            service.write(Invalidation::All),
        ];
        let reads = [(); 3].map(|()| {
            let service = Arc::clone(&service);
            spawn(async move {
                let oldest = service.invalidated.load(SeqCst);
                let value = service.read(false).await.unwrap();
                assert!(
                    value >= oldest,
                    "got {value} after the invalidation of {oldest}"
                );
            })
        });
        for task in reads.into_iter().chain(writes) {
            task.await.unwrap();
        }
    });
}

/// A load ends without a result: each request that joined it receives `Abandoned`, and the next request does not join it.
#[test]
fn no_request_joins_a_load_that_has_failed() {
    explore(4_000, || async {
        let service = Arc::new(Service::default());
        let reads = [(); 3].map(|()| {
            let service = Arc::clone(&service);
            spawn(async move { service.read(true).await })
        });
        for read in reads {
            assert!(matches!(read.await.unwrap(), Ok(0) | Err(Abandoned)));
        }
        assert_eq!(service.read(false).await, Ok(0));
    });
}

/// Requests that join a load in flight receive its result.
#[test]
fn requests_share_the_load_under_way() {
    explore(4_000, || async {
        let service = Arc::new(Service::default());
        let generation = service.generations.current(&USER);
        let (first, leader) = service.single_flight.join(&USER, generation, None);
        let others = [(); 2].map(|()| {
            let (flight, none) = service.single_flight.join(&USER, generation, None);
            assert!(none.is_none());
            spawn(flight)
        });
        spawn(async move { leader.unwrap().complete(7) });
        for other in others {
            assert_eq!(other.await.unwrap(), Ok(7));
        }
        assert_eq!(first.await, Ok(7));
    });
}
