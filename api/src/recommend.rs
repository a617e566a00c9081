//! The use case: users' recommendations, from a cache or by one load for everybody who asks at the same time.
//!
//! A fault never becomes data: only a complete history is scored, and only its answer is kept.

pub(crate) mod answer;
mod metrics;
mod score;
mod singleflight;
mod source;

pub use metrics::CacheMetrics;
pub use source::Source;

use crate::cache::generation::{Generation, Generations, Invalidation};
use crate::cache::memory::{Entry, MemoryCache};
use crate::cache::shared::{Fill, Found, Lease, Lookup, SharedCache, Unconfirmed};
use crate::loader::{LoadError, Loader};
use crate::model::{History, UserId};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reckon_contract::{Tuning, tuning};
use singleflight::{Abandoned, Leader, SingleFlight};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

/// While no invalidation can be heard, an answer is taken from memory for this long only.
const DETACHED_AGE: Duration = Duration::from_secs(10);
/// Users of one warming that are loaded at the same time.
const WARM_CONCURRENCY: usize = 32;
/// Users that may wait to be warmed at once, over all calls.
const WARM_BACKLOG: usize = 10_000;

/// One user's answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The JSON.
    pub body: Bytes,
    /// Where it came from.
    pub source: Source,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store failed or has no room, and there is no stale answer.
    #[error(transparent)]
    Load(LoadError),
    /// The request's deadline passed.
    #[error("no answer within the request's deadline")]
    DeadlinePassed,
    /// The load ended without a result: a defect of this program.
    #[error("the load ended without a result")]
    Defect,
}

type Outcome = Result<Answered, LoadError>;

/// A user to be loaded, and the duty to say what came of it.
struct Load {
    user: UserId,
    generation: Generation,
    began: Instant,
    leader: Leader<Outcome>,
}

/// Gives recommendations.
pub struct Recommender {
    generations: Arc<Generations>,
    memory: MemoryCache,
    shared: Option<SharedCache>,
    single_flight: SingleFlight<Outcome>,
    loader: Loader,
    metrics: Arc<CacheMetrics>,
    request_timeout: Duration,
    cache: tuning::Cache,
    algorithm: tuning::Algorithm,
    warming: TaskTracker,
    warm_backlog: Arc<tokio::sync::Semaphore>,
}

impl Recommender {
    /// A recommender over `loader`; `shared`, if there is one, tells `generations` what it hears.
    #[must_use]
    pub fn new(
        loader: Loader,
        shared: Option<SharedCache>,
        generations: Arc<Generations>,
        tuning: &Tuning,
        metrics: Arc<CacheMetrics>,
    ) -> Self {
        Self {
            generations,
            memory: MemoryCache::new(
                tuning.cache.memory.max_bytes,
                metrics.memory.evictions.clone(),
            ),
            shared,
            single_flight: SingleFlight::default(),
            loader,
            metrics,
            request_timeout: tuning.server.request_timeout(),
            cache: tuning.cache.clone(),
            algorithm: tuning.recommendation.algorithm,
            warming: TaskTracker::new(),
            warm_backlog: Arc::new(tokio::sync::Semaphore::new(WARM_BACKLOG)),
        }
    }

    /// The recommendation for `user`.
    ///
    /// # Errors
    /// Within the request's deadline, when the store cannot be asked and no stale answer is left.
    pub async fn recommend(self: &Arc<Self>, user: UserId) -> Result<Answered, Failure> {
        let mut answers = self.recommend_all(&[user]).await;
        answers.pop().unwrap_or(Err(Failure::Defect))
    }

    /// The recommendations for `users`, who are all different, in their order; those that no memory holds are looked up
    /// and loaded together.
    pub(crate) async fn recommend_all(
        self: &Arc<Self>,
        users: &[UserId],
    ) -> Vec<Result<Answered, Failure>> {
        let answers = self.answer(users).await;
        for answered in answers.iter().flatten() {
            self.metrics.answered(answered.source);
        }
        answers
    }

    /// The same, not counted as given.
    async fn answer(self: &Arc<Self>, users: &[UserId]) -> Vec<Result<Answered, Failure>> {
        let began = Instant::now();
        // Before any generation is read: what is heard only afterwards does not vouch for it.
        let attached = self.is_attached();
        let not_before = oldest_load(began, attached);
        let mut loads = Vec::new();
        let mut answers = Vec::with_capacity(users.len());
        for &user in users {
            // Read before the first look-up, so that what an invalidation outdates can never pass for current.
            let generation = self.generations.current(user);
            let held = self.memory.get(user, generation);
            let lookups = &self.metrics.memory_lookups;
            answers.push(match held {
                Some(entry) if began < entry.fresh_until && is_trusted(&entry, began, attached) => {
                    lookups.hit.inc();
                    Pending::Held(entry.body)
                }
                held => {
                    lookups.missed(held.is_some());
                    let (load, leader) = self.single_flight.join(user, generation, not_before);
                    if leader.is_none() {
                        self.metrics.joined.inc();
                    }
                    loads.extend(leader.map(|leader| Load {
                        user,
                        generation,
                        began,
                        leader,
                    }));
                    Pending::Awaited {
                        user,
                        generation,
                        held,
                        load,
                    }
                }
            });
        }
        if !loads.is_empty() {
            // In a task of its own, which goes on when the client goes away: others may wait for it, and its answers are
            // of use.
            tokio::spawn(Arc::clone(self).load(loads));
        }
        let deadline = tokio::time::Instant::from_std(began + self.request_timeout);
        let answered = answers.into_iter().map(|asked| async {
            match asked {
                Pending::Held(body) => Ok(Answered {
                    body,
                    source: Source::Memory,
                }),
                Pending::Awaited {
                    user,
                    generation,
                    held,
                    load,
                } => {
                    let failure = match tokio::time::timeout_at(deadline, load).await {
                        Ok(Ok(Ok(answered))) => return Ok(answered),
                        Ok(Ok(Err(error))) => Failure::Load(error),
                        Ok(Err(Abandoned)) => Failure::Defect,
                        Err(_elapsed) => Failure::DeadlinePassed,
                    };
                    self.stale(user, generation, held).ok_or(failure)
                }
            }
        });
        join_all(answered).await
    }

    /// Whether every invalidation up to a second ago has been heard.
    fn is_attached(&self) -> bool {
        self.shared.as_ref().is_none_or(SharedCache::is_attached)
    }

    fn stale(&self, user: UserId, generation: Generation, held: Option<Entry>) -> Option<Answered> {
        let (now, attached) = (Instant::now(), self.is_attached());
        let entry = held.filter(|entry| {
            now < entry.stale_until
                && is_trusted(entry, now, attached)
                && self.generations.current(user) == generation
        })?;
        Some(Answered {
            body: entry.body,
            source: Source::Stale,
        })
    }

    async fn load(self: Arc<Self>, loads: Vec<Load>) {
        let found = match &self.shared {
            Some(shared) => {
                let users: Vec<UserId> = loads.iter().map(|load| load.user).collect();
                let found = shared.get(&users).await;
                for lookup in &found {
                    match lookup {
                        Lookup::Fresh(_) => _ = self.metrics.shared_lookups.hit.inc(),
                        Lookup::Missing(aged, _) => {
                            self.metrics.shared_lookups.missed(aged.is_some());
                        }
                    }
                }
                found
            }
            None => loads.iter().map(|_| Lookup::Missing(None, None)).collect(),
        };
        let loaded = loads
            .into_iter()
            .zip(found)
            .map(|(load, lookup)| self.load_one(load, lookup));
        let fills: Vec<Fill> = join_all(loaded).await.into_iter().flatten().collect();
        if let Some(shared) = &self.shared {
            shared.fill(fills).await;
        }
    }

    /// Answers those who wait for one user; what came from the store is to be shared.
    async fn load_one(&self, load: Load, lookup: Lookup) -> Option<Fill> {
        let Load {
            user,
            generation,
            began,
            leader,
        } = load;
        let (aged, lease) = match lookup {
            Lookup::Fresh(found) => {
                self.keep_found(user, generation, began, &found);
                let source = Source::Shared;
                leader.complete(Ok(Answered {
                    body: found.body,
                    source,
                }));
                return None;
            }
            Lookup::Missing(aged, lease) => (aged, lease),
        };
        match self.loader.load(user).await {
            Ok(history) => {
                let body = match self.algorithm {
                    tuning::Algorithm::Classic => {
                        answer::json(user, &history, &score::classic(&history))
                    }
                };
                let fill = self.keep_loaded(user, generation, began, &history, &body, lease);
                let source = Source::Store;
                leader.complete(Ok(Answered { body, source }));
                fill
            }
            Err(error) => {
                let still_true = self.generations.current(user) == generation;
                leader.complete(match aged.filter(|_| still_true) {
                    Some(found) => Ok(Answered {
                        body: found.body,
                        source: Source::Stale,
                    }),
                    None => Err(error),
                });
                None
            }
        }
    }

    /// Keeps what the shared cache had, for no longer than it has.
    fn keep_found(&self, user: UserId, generation: Generation, confirmed: Instant, found: &Found) {
        let now = Instant::now();
        let entry = Entry {
            body: found.body.clone(),
            generation,
            confirmed,
            fresh_until: now + found.fresh.min(jittered(self.cache.memory.ttl())),
            stale_until: now + found.total,
        };
        self.memory.insert(user, entry);
    }

    fn keep_loaded(
        &self,
        user: UserId,
        generation: Generation,
        confirmed: Instant,
        history: &History,
        body: &Bytes,
        lease: Option<Lease>,
    ) -> Option<Fill> {
        let (memory, shared) = if history.is_empty() {
            let empty = self.cache.memory.empty_ttl();
            (empty, empty)
        } else {
            (self.cache.memory.ttl(), self.cache.shared.ttl())
        };
        let shared = jittered(shared);
        let memory = match self.shared {
            Some(_) => jittered(memory).min(shared),
            None => jittered(memory),
        };
        let fresh_until = Instant::now() + memory;
        let entry = Entry {
            body: body.clone(),
            generation,
            confirmed,
            fresh_until,
            stale_until: fresh_until + self.cache.stale(),
        };
        self.memory.insert(user, entry);
        lease.map(|lease| Fill {
            user,
            lease,
            body: body.clone(),
            fresh: shared,
            stale: self.cache.stale(),
        })
    }

    /// Once it returns, no request that arrives afterwards gets data older than the call from this process, and within one
    /// second from none.
    ///
    /// # Errors
    /// The shared cache did not confirm it; this process has forgotten all the same.
    pub(crate) async fn invalidate(&self, what: Invalidation) -> Result<(), Unconfirmed> {
        self.metrics.invalidated(&what);
        self.generations.forget(&what);
        if what == Invalidation::All {
            self.memory.clear();
        }
        if let Some(shared) = &self.shared {
            let confirmed = shared.invalidate(&what).await;
            // Once more: a request since then may have taken the old entry from the shared cache.
            self.generations.forget(&what);
            confirmed?;
        }
        Ok(())
    }

    /// Loads `users` in the background, so that they will be hits.
    ///
    /// # Errors
    /// Too many users wait to be warmed already.
    pub(crate) fn warm(self: &Arc<Self>, users: Vec<UserId>) -> Result<(), LoadError> {
        let backlog = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.warm_backlog)
            .try_acquire_many_owned(backlog)
            .map_err(|_| LoadError::Overloaded)?;
        let recommender = Arc::clone(self);
        self.warming.spawn(async move {
            let load = async |user| recommender.answer(&[user]).await;
            let loads = futures_util::stream::iter(users).map(load);
            // A user that cannot be loaded now is loaded when somebody asks.
            loads
                .buffer_unordered(WARM_CONCURRENCY)
                .for_each(|_| std::future::ready(()))
                .await;
            drop(places);
        });
        Ok(())
    }

    /// What it has counted.
    #[must_use]
    pub(crate) fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// The way to the store.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The shared cache, if there is one.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedCache> {
        self.shared.as_ref()
    }

    /// The memory cache.
    #[must_use]
    pub fn memory(&self) -> &MemoryCache {
        &self.memory
    }

    /// Waits for the warming that is under way, but not longer than for a request.
    pub(crate) async fn finish_warming(&self) {
        self.warming.close();
        tokio::time::timeout(self.request_timeout, self.warming.wait())
            .await
            .ok();
    }

    /// Ends the connections to the store and to the shared cache.
    pub async fn close(&self) {
        self.loader.close().await;
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

/// A user of a request, before everything is there.
enum Pending<F> {
    /// In the memory cache.
    Held(Bytes),
    /// Being looked up and loaded.
    Awaited {
        user: UserId,
        generation: Generation,
        held: Option<Entry>,
        load: F,
    },
}

/// Whether an invalidation of the entry would have been heard, or the entry is young.
fn is_trusted(entry: &Entry, now: Instant, attached: bool) -> bool {
    attached || now < entry.confirmed + DETACHED_AGE
}

/// When a load may have begun that a request joins: what it reads may be from its beginning.
fn oldest_load(now: Instant, attached: bool) -> Option<Instant> {
    if attached {
        None
    } else {
        now.checked_sub(DETACHED_AGE)
    }
}

/// 10 % more or less, so that what was loaded together does not expire together.
fn jittered(ttl: Duration) -> Duration {
    ttl.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::{
        DETACHED_AGE, Failure, Invalidation, Recommender, Source, is_trusted, jittered, oldest_load,
    };
    use crate::cache::generation::Generations;
    use crate::cache::memory::Entry;
    use crate::cache::shared::{Address, Identity, SharedCache};
    use crate::{
        loader::Loader, metrics::Metrics, model::UserId, store::sqlite, store::sqlite::Sqlite,
    };
    use reckon_contract::Tuning;
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const USER: UserId = UserId(1);

    /// A recommender over a SQLite file; with a shared cache that nobody listens for, if wanted.
    fn recommender(store: &Path, is_detached: bool) -> Arc<Recommender> {
        let tuning = Tuning::default();
        let metrics = Metrics::new(&tuning);
        let loader = Loader::start(
            Sqlite::new(store),
            &tuning.store,
            100,
            Arc::clone(&metrics.loader),
        );
        let shared = is_detached.then(|| {
            let server = "127.0.0.1:1".to_owned();
            let client = redis::Client::open(format!("redis://{server}/?protocol=resp3")).unwrap();
            SharedCache::start(
                Address { client, server },
                Identity::new(Some("shop"), "", &tuning.recommendation),
                Duration::from_millis(50),
                Arc::clone(&metrics.shared),
                |_| {},
            )
        });
        let generations = Arc::new(Generations::default());
        Arc::new(Recommender::new(
            loader,
            shared,
            generations,
            &tuning,
            metrics.cache,
        ))
    }

    fn entry(recommender: &Recommender, confirmed: Instant, stale_until: Instant) -> Entry {
        Entry {
            body: "{}".into(),
            generation: recommender.generations.current(USER),
            confirmed,
            fresh_until: confirmed,
            stale_until,
        }
    }

    #[tokio::test]
    async fn an_answer_is_loaded_once_and_again_when_it_is_old_or_invalid() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        drop(sqlite::create(&path).await.unwrap());
        let recommender = recommender(&path, false);
        let source = async || recommender.recommend(USER).await.unwrap().source;
        assert_eq!(source().await, Source::Store);
        assert_eq!(source().await, Source::Memory);

        let one = Invalidation::Users(vec![USER]);
        recommender.invalidate(one).await.unwrap();
        // What is outdated gives its memory back later.
        assert_eq!(recommender.memory().len(), 1);
        assert_eq!(source().await, Source::Store);
        recommender.invalidate(Invalidation::All).await.unwrap();
        assert_eq!(recommender.memory().len(), 0);
        assert_eq!(source().await, Source::Store);

        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        let old = entry(&recommender, now, now + minute);
        recommender.memory.insert(USER, old);
        assert_eq!(source().await, Source::Store);

        recommender.close().await;
        assert_eq!(source().await, Source::Memory);
        let other = recommender.recommend(UserId(2)).await;
        assert!(matches!(other, Err(Failure::Load(_))), "{other:?}");
    }

    #[tokio::test]
    async fn a_recommender_tells_of_its_shared_cache() {
        let nowhere = Path::new("/nowhere/reckon.db");
        assert!(recommender(nowhere, true).shared().is_some());
        assert!(recommender(nowhere, false).shared().is_none());
    }

    #[test]
    fn lifetimes_are_spread_by_a_tenth() {
        let ttl = Duration::from_secs(100);
        let times: Vec<Duration> = (0..100).map(|_| jittered(ttl)).collect();
        let (least, most) = (ttl.mul_f64(0.9), ttl.mul_f64(1.1));
        assert!(times.iter().all(|time| (least..=most).contains(time)));
        // In both directions: that all of them are on one side of this happens once in 10^22.
        assert!(times.iter().any(|time| *time < ttl.mul_f64(0.98)));
        assert!(times.iter().any(|time| *time > ttl.mul_f64(1.02)));
    }

    #[test]
    fn sources_are_labels() {
        let sources = [Source::Memory, Source::Shared, Source::Store, Source::Stale];
        let labels = ["memory", "shared", "store", "stale"];
        assert_eq!(sources.map(Source::label), labels);
    }

    #[tokio::test]
    async fn an_old_answer_is_given_as_stale_until_its_end_or_an_invalidation() {
        let recommender = recommender(Path::new("/nowhere/reckon.db"), false);
        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        let before = now.checked_sub(minute).unwrap();
        let generation = recommender.generations.current(USER);
        let stale = |entry| recommender.stale(USER, generation, Some(entry));
        let given = stale(entry(&recommender, before, now + minute)).unwrap();
        assert_eq!((given.source, &*given.body), (Source::Stale, &b"{}"[..]));
        assert!(stale(entry(&recommender, before, now)).is_none());
        assert!(recommender.stale(USER, generation, None).is_none());
        recommender.generations.invalidate(USER);
        assert!(stale(entry(&recommender, before, now + minute)).is_none());
    }

    #[tokio::test]
    async fn without_word_of_invalidations_an_answer_counts_for_ten_seconds() {
        let recommender = recommender(Path::new("/nowhere/reckon.db"), true);
        let (now, minute) = (Instant::now(), Duration::from_mins(1));
        let generation = recommender.generations.current(USER);
        for (age, is_given) in [(0, true), (5, true), (10, false), (60, false)] {
            let confirmed = now.checked_sub(Duration::from_secs(age)).unwrap();
            let entry = entry(&recommender, confirmed, now + minute);
            let given = recommender.stale(USER, generation, Some(entry));
            assert_eq!(given.is_some(), is_given, "{age}");
        }
    }

    #[test]
    fn what_is_trusted_without_word_of_invalidations_is_younger_than_ten_seconds() {
        let generation = Generations::default().current(USER);
        let confirmed = Instant::now();
        let entry = Entry {
            body: "{}".into(),
            generation,
            confirmed,
            fresh_until: confirmed,
            stale_until: confirmed,
        };
        let end = confirmed + DETACHED_AGE;
        let before = end.checked_sub(Duration::from_nanos(1)).unwrap();
        assert!(is_trusted(&entry, confirmed, false));
        assert!(is_trusted(&entry, before, false));
        assert!(!is_trusted(&entry, end, false));
        assert!(is_trusted(&entry, end, true));
        assert_eq!(oldest_load(end, false), Some(confirmed));
        assert_eq!(oldest_load(end, true), None);
    }

    #[tokio::test]
    async fn users_that_are_being_warmed_at_the_end_are_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        drop(sqlite::create(&path).await.unwrap());
        let recommender = recommender(&path, false);
        recommender.warm((0..100).map(UserId).collect()).unwrap();
        recommender.finish_warming().await;
        assert_eq!(recommender.memory().len(), 100);
    }
}
