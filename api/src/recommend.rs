//! The use case: users' recommendations, from a cache or by one load that concurrent requests share.
//!
//! A failure never becomes data: only a complete history is scored, and only its result is cached.

pub(crate) mod answer;
mod experiment;
pub(crate) mod explanation;
mod fold;
mod metrics;
mod options;
mod singleflight;
mod source;

pub use metrics::CacheMetrics;
pub use options::Options;
pub use source::Source;

use crate::cache::generation::{Generation, Generations, Invalidation};
use crate::cache::memory::{Entry, MemoryCache, Until};
use crate::cache::shared::{Fill, Found, Lease, Lookup, SharedCache, Unconfirmed};
use crate::loader::{LoadError, Loader};
use crate::model::{History, UserId};
use crate::scoring::{self, Recommendations, Selection};
use crate::trained::{CurrentModel, TrainedModel};
use answer::Computation;
use bytes::Bytes;
use experiment::Assignment;
use explanation::Explanation;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use reckon_contract::{Tuning, tuning};
use singleflight::{Abandoned, Leader, SingleFlight};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::TaskTracker;

/// Maximum age of a memory entry that is served while this process cannot receive invalidations.
const DETACHED_AGE: Duration = Duration::from_secs(10);
/// Maximum users of one warming that are loaded concurrently.
const WARM_CONCURRENCY: usize = 32;
/// Maximum users that wait to be warmed, over all calls.
const WARM_BACKLOG: usize = 10_000;

/// One user's answer.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The JSON.
    pub body: Bytes,
    /// Where it came from.
    pub source: Source,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The store failed or its queue is full, and there is no stale entry.
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

/// A user to be loaded, and the duty to publish the result.
struct Load {
    user: UserId,
    generation: Generation,
    began: Instant,
    leader: Leader<Outcome>,
}

/// The values that all users of a request share.
struct Request {
    began: Instant,
    /// Whether this process has received all invalidations that were made more than a second before the request.
    attached: bool,
    /// Tag of the trained model in use.
    model: u64,
}

/// A user without a fresh answer in the memory cache.
struct Miss {
    user: UserId,
    generation: Generation,
    /// The expired or untrusted entry, served as a stale answer if the load fails.
    held: Option<Box<Entry>>,
}

/// A request for one user whose answer is not in memory.
pub(crate) struct Missed {
    miss: Miss,
    request: Request,
}

/// Returns recommendations.
pub struct Recommender {
    generations: Arc<Generations>,
    memory: MemoryCache,
    shared: Option<SharedCache>,
    single_flight: SingleFlight<Outcome>,
    loader: Loader,
    metrics: Arc<CacheMetrics>,
    request_timeout: Duration,
    cache: tuning::Cache,
    assignment: Assignment,
    models: Arc<CurrentModel>,
    warming: TaskTracker,
    warm_backlog: Arc<tokio::sync::Semaphore>,
}

impl Recommender {
    /// A recommender over `loader`; `shared`, if set, reports invalidations to `generations` and `memory`.
    #[must_use]
    pub fn new(
        loader: Loader,
        shared: Option<SharedCache>,
        (generations, memory): (Arc<Generations>, MemoryCache),
        tuning: &Tuning,
        metrics: Arc<CacheMetrics>,
        models: Arc<CurrentModel>,
    ) -> Self {
        Self {
            generations,
            memory,
            shared,
            single_flight: SingleFlight::default(),
            loader,
            metrics,
            request_timeout: tuning.server.request_timeout(),
            cache: tuning.cache.clone(),
            assignment: Assignment::new(&tuning.recommendation),
            models,
            warming: TaskTracker::new(),
            warm_backlog: Arc::new(tokio::sync::Semaphore::new(WARM_BACKLOG)),
        }
    }

    /// The recommendation for `user`.
    ///
    /// # Errors
    /// The store is unavailable and there is no stale entry. The error is returned by the request's deadline.
    pub async fn recommend(self: &Arc<Self>, user: UserId) -> Result<Answered, Failure> {
        match self.hit(&user, Instant::now()) {
            Ok(answered) => Ok(answered),
            Err(missed) => self.complete(missed).await,
        }
    }

    /// The answer for `user` to a request that arrived at `began`, if it is in memory: the hot path.
    ///
    /// # Errors
    /// The answer is not in memory; [`Recommender::complete`] returns it.
    pub(crate) fn hit(&self, user: &UserId, began: Instant) -> Result<Answered, Missed> {
        let request = self.begin(began);
        match self.cached(user, &request) {
            Ok(answered) => {
                self.count_one(user, &answered);
                Ok(answered)
            }
            Err(miss) => Err(Missed { miss, request }),
        }
    }

    /// The answer that is not in memory.
    ///
    /// # Errors
    /// See [`Recommender::recommend`].
    pub(crate) async fn complete(self: &Arc<Self>, missed: Missed) -> Result<Answered, Failure> {
        let Missed { miss, request } = missed;
        let user = miss.user.clone();
        let mut answers = self.load_missed(vec![miss], &request).await;
        let answer = answers.pop().unwrap_or(Err(Failure::Defect));
        self.count(&user, &answer);
        answer
    }

    /// The recommendations for `users`, who must be distinct, in their order. Users who are not in the memory cache are
    /// looked up in the shared cache and loaded together.
    pub(crate) async fn recommend_all(
        self: &Arc<Self>,
        users: &[UserId],
    ) -> Vec<Result<Answered, Failure>> {
        let request = self.begin(Instant::now());
        let (mut missed, mut places) = (Vec::new(), Vec::new());
        let mut answers = Vec::with_capacity(users.len());
        for (place, user) in users.iter().enumerate() {
            answers.push(self.cached(user, &request).map_err(|miss| {
                missed.push(miss);
                places.push(place);
                Failure::Defect
            }));
        }
        if !missed.is_empty() {
            let loaded = self.load_missed(missed, &request).await;
            for (place, answer) in places.into_iter().zip(loaded) {
                answers[place] = answer;
            }
        }
        for (user, answer) in users.iter().zip(&answers) {
            self.count(user, answer);
        }
        answers
    }

    fn count(&self, user: &UserId, answer: &Result<Answered, Failure>) {
        if let Ok(answered) = answer {
            self.count_one(user, answered);
        }
    }

    fn count_one(&self, user: &UserId, answered: &Answered) {
        self.metrics.answered(answered.source);
        self.count_exposure(user);
    }

    fn count_exposure(&self, user: &UserId) {
        if let Some(group) = self.assignment.group(user) {
            self.metrics.exposed(group);
        }
    }

    fn begin(&self, began: Instant) -> Request {
        Request {
            began,
            // This is read before any generation, so that an invalidation that is received only later does not count.
            attached: self.is_attached(),
            model: self.models.tag(),
        }
    }

    /// The entry in the memory cache, without waiting and without allocating.
    fn cached(&self, user: &UserId, request: &Request) -> Result<Answered, Miss> {
        // The generation is read before the first look-up, so that an outdated entry can never count as current.
        let generation = self.generations.current(user);
        let held = self.memory.get(user, generation);
        let is_fresh = |entry: &Entry| {
            entry.is_fresh(request.began)
                && entry.model == request.model
                && is_trusted(entry, request.began, request.attached)
        };
        match held {
            Some(entry) if is_fresh(&entry) => {
                self.metrics.memory_lookups.hit.inc();
                Ok(Answered {
                    body: entry.body,
                    source: Source::Memory,
                })
            }
            held => {
                self.metrics.memory_lookups.missed(held.is_some());
                Err(Miss {
                    user: user.clone(),
                    generation,
                    held: held.map(Box::new),
                })
            }
        }
    }

    /// Joins the loads in flight for `missed`, starts the others, and waits for all of them.
    async fn load_missed(
        self: &Arc<Self>,
        missed: Vec<Miss>,
        request: &Request,
    ) -> Vec<Result<Answered, Failure>> {
        let not_before = oldest_load(request.began, request.attached);
        let deadline = tokio::time::Instant::from_std(request.began + self.request_timeout);
        let mut loads = Vec::new();
        let mut pending = Vec::with_capacity(missed.len());
        for miss in missed {
            let generation = miss.generation;
            let (load, leader) = self.single_flight.join(&miss.user, generation, not_before);
            if leader.is_none() {
                self.metrics.joined.inc();
            }
            loads.extend(leader.map(|leader| Load {
                user: miss.user.clone(),
                generation,
                began: request.began,
                leader,
            }));
            pending.push(async {
                let failure = match tokio::time::timeout_at(deadline, load).await {
                    Ok(Ok(Ok(answered))) => return Ok(answered),
                    Ok(Ok(Err(error))) => Failure::Load(error),
                    Ok(Err(Abandoned)) => Failure::Defect,
                    Err(_elapsed) => Failure::DeadlinePassed,
                };
                self.stale(miss).ok_or(failure)
            });
        }
        if !loads.is_empty() {
            // A separate task, which continues when the client disconnects, because other requests may wait for it and
            // its results are cached.
            tokio::spawn(Arc::clone(self).load(loads));
        }
        join_all(pending).await
    }

    /// Whether this process has received all invalidations that were made more than a second ago.
    fn is_attached(&self) -> bool {
        self.shared.as_ref().is_none_or(SharedCache::is_attached)
    }

    fn stale(&self, miss: Miss) -> Option<Answered> {
        let (now, attached) = (Instant::now(), self.is_attached());
        let entry = miss.held.filter(|entry| {
            now < entry.stale_until()
                && is_trusted(entry, now, attached)
                && self.generations.current(&miss.user) == miss.generation
        })?;
        Some(Answered {
            body: entry.body,
            source: Source::Stale,
        })
    }

    async fn load(self: Arc<Self>, loads: Vec<Load>) {
        let found = match &self.shared {
            Some(shared) => {
                let users: Vec<UserId> = loads.iter().map(|load| load.user.clone()).collect();
                let found = shared.get(users, self.models.tag()).await;
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

    /// Publishes the result for one user; returns what to write to the shared cache if it came from the store.
    async fn load_one(&self, load: Load, lookup: Lookup) -> Option<Fill> {
        let Load {
            user,
            generation,
            began,
            leader,
        } = load;
        let (aged, lease) = match lookup {
            Lookup::Fresh(found) => {
                self.keep_found(&user, generation, began, &found);
                let source = Source::Shared;
                leader.complete(Ok(Answered {
                    body: found.body,
                    source,
                }));
                return None;
            }
            Lookup::Missing(aged, lease) => (aged, lease),
        };
        match self.loader.load(user.clone()).await {
            Ok(history) => {
                let (body, model) = self.answer(&user, &history);
                let source = Source::Store;
                let answered = Answered { body, source };
                let keep = (&history, &answered.body, model);
                let fill = self.keep_loaded(user, generation, began, keep, lease);
                leader.complete(Ok(answered));
                fill
            }
            Err(error) => {
                let still_true = self.generations.current(&user) == generation;
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

    /// The recommendation for `user` with the request's choices, from the store. The result is not cached.
    ///
    /// # Errors
    /// The store is unavailable. The error is returned by the request's deadline.
    pub(crate) async fn recommend_with(
        &self,
        user: UserId,
        options: &Options,
    ) -> Result<Bytes, Failure> {
        let history =
            tokio::time::timeout(self.request_timeout, self.loader.load(user.clone())).await;
        let history = history.map_err(|_elapsed| Failure::DeadlinePassed)?;
        let history = history.map_err(Failure::Load)?;
        if options.algorithm.is_none() {
            self.count_exposure(&user);
        }
        let of_user = (&history, self.assignment.settings(&user));
        Ok(
            self.answer_with(of_user, options, |answer, computation, explanation| {
                answer::explained(&user, answer, computation, explanation)
            }),
        )
    }

    /// The recommendation for a session with this history.
    pub(crate) fn recommend_session(&self, history: &History, options: &Options) -> Bytes {
        // A session has no user, and therefore no group.
        let session = (history, self.assignment.control());
        self.answer_with(session, options, |answer, computation, explanation| {
            answer::session(answer, computation, explanation)
        })
    }

    fn answer_with(
        &self,
        (history, settings): (&History, &tuning::Recommendation),
        options: &Options,
        json: impl FnOnce(&Recommendations<'_>, Computation<'_>, Option<Explanation<'_>>) -> Bytes,
    ) -> Bytes {
        let mut settings = settings.clone();
        settings.algorithm = options.algorithm.unwrap_or(settings.algorithm);
        let model = self.models.get();
        let model = model.as_deref();
        let history = &*history.newest(settings.history_length());
        let folded = fold::folded(history, &options.selection, model, &settings);
        let (history, selection) = folded
            .as_ref()
            .map_or((history, &options.selection), |(history, selection)| {
                (history, selection)
            });
        let answer = scoring::recommend(history, model, &settings, selection);
        let explanation = options.explain.then(|| Explanation::of(&answer));
        let computation = Computation {
            history,
            algorithm: settings.algorithm,
            model,
        };
        json(&answer, computation, explanation)
    }

    /// The trained model in use.
    pub(crate) fn model(&self) -> Option<Arc<TrainedModel>> {
        self.models.get()
    }

    /// Why the published model is not used; `None`: it is used.
    pub(crate) fn model_problem(&self) -> Option<crate::trained::Problem> {
        self.models.problem()
    }

    /// The JSON for a user with this history, and the tag of the model with which it was computed.
    fn answer(&self, user: &UserId, history: &History) -> (Bytes, u64) {
        let model = self.models.get();
        let (settings, model) = (self.assignment.settings(user), model.as_deref());
        let history = &*history.newest(settings.history_length());
        let selection = Selection::default();
        let folded = fold::folded(history, &selection, model, settings);
        let (history, selection) = folded
            .as_ref()
            .map_or((history, &selection), |(history, selection)| {
                (history, selection)
            });
        let answer = scoring::recommend(history, model, settings, selection);
        let computation = Computation {
            history,
            algorithm: settings.algorithm,
            model,
        };
        let body = answer::json(user, &answer, computation);
        (body, model.map_or(0, TrainedModel::tag))
    }

    /// Caches an entry of the shared cache in memory, for no longer than its remaining time.
    fn keep_found(&self, user: &UserId, generation: Generation, confirmed: Instant, found: &Found) {
        let now = Instant::now();
        let until = Until {
            fresh: now + found.fresh.min(jittered(self.cache.memory.ttl())),
            stale: now + found.total,
        };
        // The body is a part of a larger buffer.
        let body = Bytes::copy_from_slice(&found.body);
        let entry = Entry::new(body, found.model, generation, confirmed, until);
        self.keep(user, entry);
    }

    /// Caches an entry in memory, unless an invalidation has outdated it. The generation is checked after the
    /// insertion. An invalidation first changes the generation and then removes entries. So an outdated entry is
    /// removed either here or by the invalidation.
    fn keep(&self, user: &UserId, entry: Entry) {
        let generation = entry.generation;
        self.memory.insert(user.clone(), entry);
        if self.generations.current(user) != generation {
            self.memory.remove_user(user);
        }
    }

    fn keep_loaded(
        &self,
        user: UserId,
        generation: Generation,
        confirmed: Instant,
        (history, body, model): (&History, &Bytes, u64),
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
        let fresh = Instant::now() + memory;
        let until = Until {
            fresh,
            stale: fresh + self.cache.stale(),
        };
        let entry = Entry::new(body.clone(), model, generation, confirmed, until);
        self.keep(&user, entry);
        lease.map(|lease| Fill {
            user,
            lease,
            body: body.clone(),
            model,
            fresh: shared,
            stale: self.cache.stale(),
        })
    }

    /// After the call returns, later requests to this process get no data from before the call. One second later, this
    /// holds for every process that is connected to the shared cache.
    ///
    /// # Errors
    /// The shared cache did not acknowledge the invalidation. The memory cache of this process is cleared nevertheless.
    pub(crate) async fn invalidate(&self, what: Invalidation) -> Result<(), Unconfirmed> {
        self.metrics.invalidated(&what);
        self.invalidate_here(&what);
        if let Some(shared) = &self.shared {
            let confirmed = shared.invalidate(&what).await;
            // A second time, because a request may have read the old entry from the shared cache in the meantime.
            self.generations.apply(&what);
            self.memory.remove(&what);
            confirmed?;
        }
        Ok(())
    }

    /// Invalidates the cached data of this process: no request that begins after the call gets them.
    pub(crate) fn invalidate_here(&self, what: &Invalidation) {
        self.generations.apply(what);
        self.memory.remove(what);
    }

    /// Completes [`Recommender::invalidate_here`] for the shared cache and the processes that use it.
    ///
    /// # Errors
    /// The shared cache did not acknowledge the invalidation, which may be repeated.
    pub(crate) async fn invalidate_elsewhere(
        &self,
        what: &Invalidation,
    ) -> Result<(), Unconfirmed> {
        if let Some(shared) = &self.shared {
            shared.invalidate(what).await?;
            self.invalidate_here(what);
        }
        Ok(())
    }

    /// Loads `users` in the background, so that later requests are hits.
    ///
    /// # Errors
    /// Too many users are already waiting to be warmed.
    pub(crate) fn warm(self: &Arc<Self>, users: Vec<UserId>) -> Result<(), LoadError> {
        let backlog = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let places = Arc::clone(&self.warm_backlog)
            .try_acquire_many_owned(backlog)
            .map_err(|_| LoadError::Overloaded)?;
        let recommender = Arc::clone(self);
        self.warming.spawn(async move {
            let load = async |user| {
                let request = recommender.begin(Instant::now());
                if let Err(miss) = recommender.cached(&user, &request) {
                    recommender.load_missed(vec![miss], &request).await;
                }
            };
            let loads = futures_util::stream::iter(users).map(load);
            // A user that cannot be loaded now is loaded at the next request.
            loads
                .buffer_unordered(WARM_CONCURRENCY)
                .for_each(|()| std::future::ready(()))
                .await;
            drop(places);
        });
        Ok(())
    }

    /// The metrics.
    #[must_use]
    pub(crate) fn metrics(&self) -> &CacheMetrics {
        &self.metrics
    }

    /// The loader.
    #[must_use]
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// The shared cache, if one is configured.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedCache> {
        self.shared.as_ref()
    }

    /// The memory cache.
    #[must_use]
    pub fn memory(&self) -> &MemoryCache {
        &self.memory
    }

    /// Waits for the warming in progress, but not longer than a request may take.
    pub(crate) async fn finish_warming(&self) {
        self.warming.close();
        tokio::time::timeout(self.request_timeout, self.warming.wait())
            .await
            .ok();
    }

    /// Closes the connections to the store and to the shared cache.
    pub async fn close(&self) {
        self.loader.close().await;
        if let Some(shared) = &self.shared {
            shared.close();
        }
    }
}

/// Whether the entry may be served: the process receives invalidations, or the entry is younger than [`DETACHED_AGE`].
fn is_trusted(entry: &Entry, now: Instant, attached: bool) -> bool {
    attached || now < entry.confirmed + DETACHED_AGE
}

/// A request must not join a load that began before this time, because such a load may have read data that is too old.
/// `None`: it can join any load.
fn oldest_load(now: Instant, attached: bool) -> Option<Instant> {
    if attached {
        None
    } else {
        now.checked_sub(DETACHED_AGE)
    }
}

/// 10 % more or less, so that entries that were loaded together do not expire together.
fn jittered(ttl: Duration) -> Duration {
    ttl.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests;
