//! The use case: one user's recommendation, from the memory cache or by one load for everybody who asks at the same time.
//!
//! A fault never becomes data: only a complete history is scored, and only its answer is kept.

pub mod answer;
mod flight;
pub mod score;

use crate::cache::generation::{Generation, Generations};
use crate::cache::memory::{Entry, MemoryCache};
use crate::loader::{LoadError, Loader};
use crate::metrics::Metrics;
use crate::model::{History, UserId};
use bytes::Bytes;
use flight::{Flights, Lost, Ticket};
use futures_util::StreamExt as _;
use reckon_contract::{Tuning, tuning};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

/// Users of one warming that are loaded at the same time.
const WARM_CONCURRENCY: usize = 32;
/// Users that may wait to be warmed at once, over all calls.
const WARM_BACKLOG: usize = 10_000;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A cache.
    Hit,
    /// The store, loads of others that were joined included.
    Miss,
    /// A cache, past its age limit, because the store could not be asked.
    Stale,
}

impl Source {
    /// As a label value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
        }
    }
}

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

type Outcome = Result<Bytes, LoadError>;

/// Gives recommendations.
pub struct Recommender {
    generations: Generations,
    memory: MemoryCache,
    flights: Flights<Outcome>,
    loader: Loader,
    metrics: Arc<Metrics>,
    request_timeout: Duration,
    cache: tuning::Cache,
    algorithm: tuning::Algorithm,
    warming: TaskTracker,
    warm_backlog: Arc<tokio::sync::Semaphore>,
}

impl Recommender {
    /// A recommender over `loader`.
    #[must_use]
    pub fn new(loader: Loader, tuning: &Tuning, metrics: Arc<Metrics>) -> Self {
        Self {
            generations: Generations::default(),
            memory: MemoryCache::new(tuning.cache.memory.max_bytes),
            flights: Flights::default(),
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
        // Read before the first look-up, so that what an invalidation outdates can never pass for current.
        let generation = self.generations.current(user);
        let held = self.memory.get(user, generation);
        let answered = match held {
            Some(entry) if Instant::now() < entry.fresh_until => Answered {
                body: entry.body,
                source: Source::Hit,
            },
            held => self.load_or_stale(user, generation, held).await?,
        };
        self.metrics.cache.answered(answered.source);
        Ok(answered)
    }

    async fn load_or_stale(
        self: &Arc<Self>,
        user: UserId,
        generation: Generation,
        held: Option<Entry>,
    ) -> Result<Answered, Failure> {
        let failure = match tokio::time::timeout(
            self.request_timeout,
            self.join_load(user, generation),
        )
        .await
        {
            Ok(Ok(Ok(body))) => {
                return Ok(Answered {
                    body,
                    source: Source::Miss,
                });
            }
            Ok(Ok(Err(error))) => Failure::Load(error),
            Ok(Err(Lost)) => Failure::Defect,
            Err(_elapsed) => Failure::DeadlinePassed,
        };
        let still_true = |entry: &Entry| {
            Instant::now() < entry.stale_until && self.generations.current(user) == generation
        };
        match held.filter(still_true) {
            Some(entry) => Ok(Answered {
                body: entry.body,
                source: Source::Stale,
            }),
            None => Err(failure),
        }
    }

    /// The load in flight for this user and generation, or a new one in a task of its own, which goes on when the client
    /// goes away: others may wait for it, and its answer is of use.
    async fn join_load(
        self: &Arc<Self>,
        user: UserId,
        generation: Generation,
    ) -> Result<Outcome, Lost> {
        let (flight, ticket) = self.flights.join(user, generation);
        if let Some(ticket) = ticket {
            tokio::spawn(Arc::clone(self).load(user, generation, ticket));
        }
        flight.await
    }

    async fn load(self: Arc<Self>, user: UserId, generation: Generation, ticket: Ticket<Outcome>) {
        let outcome = self.loader.load(user).await;
        ticket.land(outcome.map(|history| {
            let body = match self.algorithm {
                tuning::Algorithm::Classic => {
                    answer::json(user, &history, &score::classic(&history))
                }
            };
            self.keep(user, generation, &history, body.clone());
            body
        }));
    }

    fn keep(&self, user: UserId, generation: Generation, history: &History, body: Bytes) {
        let ttl = if history.is_empty() {
            self.cache.memory.empty_ttl()
        } else {
            self.cache.memory.ttl()
        };
        let fresh_until = Instant::now() + jittered(ttl);
        self.memory.insert(
            user,
            Entry {
                body,
                generation,
                fresh_until,
                stale_until: fresh_until + self.cache.stale(),
            },
        );
    }

    /// From now on no answer for `user` is from before.
    pub fn invalidate(&self, user: UserId) {
        self.generations.invalidate(user);
        self.metrics.cache.invalidations.inc();
    }

    /// From now on no answer is from before.
    pub fn invalidate_all(&self) {
        self.generations.invalidate_all();
        self.memory.clear();
        self.metrics.cache.invalidations.inc();
    }

    /// Loads `users` in the background, so that they will be hits.
    ///
    /// # Errors
    /// Too many users wait to be warmed already.
    pub fn warm(self: &Arc<Self>, users: Vec<UserId>) -> Result<(), LoadError> {
        let backlog = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.warm_backlog)
            .try_acquire_many_owned(backlog)
            .map_err(|_| LoadError::Overloaded)?;
        let recommender = Arc::clone(self);
        self.warming.spawn(async move {
            let loads = futures_util::stream::iter(users).map(|user| recommender.recommend(user));
            // A user that cannot be loaded now is loaded when somebody asks.
            loads
                .buffer_unordered(WARM_CONCURRENCY)
                .for_each(|_| std::future::ready(()))
                .await;
            drop(places);
        });
        Ok(())
    }

    /// The way to the store.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The memory cache.
    #[must_use]
    pub fn memory(&self) -> &MemoryCache {
        &self.memory
    }

    /// Waits for the warming that is under way, but not longer than for a request.
    pub async fn finish_warming(&self) {
        self.warming.close();
        tokio::time::timeout(self.request_timeout, self.warming.wait())
            .await
            .ok();
    }
}

/// 10 % more or less, so that what was loaded together does not expire together.
fn jittered(ttl: Duration) -> Duration {
    ttl.mul_f64(0.9 + 0.2 * fastrand::f64())
}
