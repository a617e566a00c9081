//! What Prometheus gets to see. Label values come from closed sets: never a user, a path or an error's text.

use crate::http::{Refusal, Route};
use crate::supervise::Supervisor;
use crate::{loader::LoadError, recommend::Source, store::Reason};
use prometheus_client::metrics::{
    counter::Counter,
    family::Family,
    gauge::Gauge,
    histogram::{Histogram, exponential_buckets},
    info::Info,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use reckon_contract::Tuning;
use std::sync::{Arc, OnceLock};

type Label = [(&'static str, &'static str); 1];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    /// Of the HTTP API.
    pub http: HttpMetrics,
    /// Of the caches.
    pub cache: CacheMetrics,
    /// Of the shared cache.
    pub shared: Arc<SharedMetrics>,
    /// Of the store and the way to it.
    pub loader: Arc<LoaderMetrics>,
    /// Of the tasks, which it keeps running.
    pub tasks: Arc<Supervisor>,
}

impl Metrics {
    /// All metrics, registered, with the values of `tuning` among them.
    #[must_use]
    pub fn new(tuning: &Tuning) -> Self {
        let mut registry = Registry::with_prefix("reckon");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "Version of the program", Info::new(version));
        describe(tuning, &mut registry);
        let tasks = Arc::new(Supervisor::new(&mut registry));
        Self {
            http: HttpMetrics::new(&mut registry),
            cache: CacheMetrics::new(&mut registry),
            shared: Arc::new(SharedMetrics::new(&mut registry, Arc::clone(&tasks))),
            loader: Arc::new(LoaderMetrics::new(&mut registry, Arc::clone(&tasks))),
            tasks,
            registry,
        }
    }

    /// The text format that Prometheus scrapes (`OpenMetrics`).
    ///
    /// # Panics
    /// Never: text goes into a `String`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("a String takes any text");
        text
    }
}

fn describe(tuning: &Tuning, registry: &mut Registry) {
    let mut value = |name: &str, help: &str, value: u64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    };
    value(
        "store_pool_limit_connections",
        "Connections to the database that this process may have",
        tuning.store.pool_size.into(),
    );
    value(
        "memory_cache_limit_bytes",
        "Size the memory cache may have",
        tuning.cache.memory.max_bytes,
    );
    value(
        "http_requests_in_flight_limit",
        "Requests that may be in flight at once",
        tuning.server.max_requests_in_flight.into(),
    );
    value(
        "http_connections_limit",
        "Connections of clients that may be open at once",
        tuning.server.most_connections().into(),
    );
}

/// Requests, by route.
pub struct HttpMetrics {
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Open connections of clients.
    pub connections: Gauge,
    /// Connections closed to make room for others.
    pub evicted: Counter,
    /// Answers with status 503 or 504.
    pub unavailable: Counter,
    refusals: Family<Label, Counter>,
    requests: Family<RouteStatus, Counter>,
    routes: Vec<RouteMetrics>,
}

type RouteStatus = (Label, [(&'static str, u16); 1]);

/// Handles of one route, looked up once.
struct RouteMetrics {
    seconds: Histogram,
    by_status: Box<[OnceLock<Counter>]>,
}

const STATUSES: std::ops::Range<u16> = 100..600;

impl HttpMetrics {
    fn new(registry: &mut Registry) -> Self {
        let seconds = Family::<Label, Histogram>::new_with_constructor(|| latency(0.000_05));
        let requests = Family::default();
        let in_flight = Gauge::default();
        let connections = Gauge::default();
        let evicted = Counter::default();
        let refusals = Family::<Label, Counter>::default();
        for reason in Refusal::LABELS {
            drop(refusals.get_or_create(&[("reason", reason)]));
        }
        registry.register(
            "http_refusals",
            "Requests refused for want of a key (no_key, wrong_key, no_keys_set, not_direct) or by a rate limit (requests), \
             and connections refused by their client's limit (connections) or the limit of all (room)",
            refusals.clone(),
        );
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from the request's head to the finished answer",
            seconds.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests being answered",
            in_flight.clone(),
        );
        registry.register(
            "http_connections",
            "Open connections of clients",
            connections.clone(),
        );
        registry.register(
            "http_connections_evicted",
            "Connections closed to make room for others, since their clients kept them waiting",
            evicted.clone(),
        );
        let routes = Route::ALL.iter().map(|route| RouteMetrics {
            seconds: seconds.get_or_create_owned(&[("route", route.template())]),
            by_status: STATUSES.map(|_| OnceLock::new()).collect(),
        });
        Self {
            in_flight,
            connections,
            evicted,
            unavailable: Counter::default(),
            refusals,
            requests,
            routes: routes.collect(),
        }
    }

    /// One request or connection turned away.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals
            .get_or_create(&[("reason", refusal.label())])
            .inc();
    }

    /// One answered request.
    pub fn answered(&self, route: Route, status: http::StatusCode, seconds: f64) {
        let metrics = &self.routes[route as usize];
        metrics.seconds.observe(seconds);
        if matches!(status.as_u16(), 503 | 504) {
            self.unavailable.inc();
        }
        let index = usize::from(status.as_u16().saturating_sub(STATUSES.start));
        let labels = || ([("route", route.template())], [("code", status.as_u16())]);
        if let Some(counter) = metrics.by_status.get(index) {
            counter
                .get_or_init(|| self.requests.get_or_create_owned(&labels()))
                .inc();
        }
    }
}

/// Answers by where they came from.
pub struct CacheMetrics {
    memory: Counter,
    shared: Counter,
    store: Counter,
    stale: Counter,
    /// Entries of the memory cache.
    pub entries: Gauge,
    /// Bytes of the memory cache, overhead included.
    pub bytes: Gauge,
    /// Invalidation calls, for however many users.
    pub invalidations: Counter,
}

impl CacheMetrics {
    fn new(registry: &mut Registry) -> Self {
        let answers = Family::<Label, Counter>::default();
        let entries = Gauge::default();
        let bytes = Gauge::default();
        let invalidations = Counter::default();
        registry.register(
            "recommendations",
            "Recommendations given, by where they came from: memory or shared cache, store, or stale from a cache",
            answers.clone(),
        );
        registry.register(
            "memory_cache_entries",
            "Entries of the memory cache",
            entries.clone(),
        );
        registry.register(
            "memory_cache_bytes",
            "Bytes of the memory cache",
            bytes.clone(),
        );
        registry.register(
            "invalidations",
            "Invalidation calls: of one user, of several or of all, each call counted once",
            invalidations.clone(),
        );
        let of = |source: Source| answers.get_or_create_owned(&[("source", source.label())]);
        Self {
            memory: of(Source::Memory),
            shared: of(Source::Shared),
            store: of(Source::Store),
            stale: of(Source::Stale),
            entries,
            bytes,
            invalidations,
        }
    }

    /// One recommendation given.
    pub fn answered(&self, source: Source) {
        self.counter(source).inc();
    }

    /// Recommendations given from `source` so far.
    #[must_use]
    pub fn count(&self, source: Source) -> u64 {
        self.counter(source).get()
    }

    fn counter(&self, source: Source) -> &Counter {
        match source {
            Source::Memory => &self.memory,
            Source::Shared => &self.shared,
            Source::Store => &self.store,
            Source::Stale => &self.stale,
        }
    }
}

/// The shared cache.
pub struct SharedMetrics {
    /// 1 if there is a connection.
    pub connected: Gauge,
    /// How long reads and fills took.
    pub seconds: Histogram,
    /// Entries written.
    pub filled: Counter,
    /// Entries that could not be read.
    pub unreadable: Counter,
    /// Invalidations heard, our own included.
    pub heard: Counter,
    /// Keeps the task running that these count for.
    pub tasks: Arc<Supervisor>,
    operations: Family<[(&'static str, &'static str); 2], Counter>,
}

impl SharedMetrics {
    fn new(registry: &mut Registry, tasks: Arc<Supervisor>) -> Self {
        let metrics = Self {
            connected: Gauge::default(),
            seconds: latency(0.000_05),
            filled: Counter::default(),
            unreadable: Counter::default(),
            heard: Counter::default(),
            operations: Family::default(),
            tasks,
        };
        registry.register(
            "shared_cache_connected",
            "1 if there is a connection to the shared cache",
            metrics.connected.clone(),
        );
        registry.register(
            "shared_cache_operation_duration_seconds",
            "Time the shared cache took for a read or a fill",
            metrics.seconds.clone(),
        );
        registry.register(
            "shared_cache_operations",
            "Operations of the shared cache: ok, error or timeout",
            metrics.operations.clone(),
        );
        registry.register(
            "shared_cache_filled_entries",
            "Entries written",
            metrics.filled.clone(),
        );
        registry.register(
            "shared_cache_unreadable_entries",
            "Entries that could not be read and counted as misses",
            metrics.unreadable.clone(),
        );
        registry.register(
            "shared_cache_invalidations_heard",
            "Invalidations heard from the shared cache, our own included",
            metrics.heard.clone(),
        );
        metrics
    }

    /// The counter of one kind of operation and outcome.
    #[must_use]
    pub fn operation(&self, operation: &'static str, outcome: &'static str) -> Counter {
        self.operations
            .get_or_create_owned(&[("operation", operation), ("outcome", outcome)])
    }
}

/// The store and the way to it.
pub struct LoaderMetrics {
    /// Users that wait for a connection.
    pub queued: Gauge,
    /// How long users waited for a connection.
    pub wait_seconds: Histogram,
    /// Users read by one statement.
    pub batch_users: Histogram,
    /// How long statements took.
    pub statement_seconds: Histogram,
    /// Connections of slots.
    pub open: Gauge,
    /// Slots that work on a job.
    pub busy: Gauge,
    /// 1 if the prober has its connection.
    pub prober_open: Gauge,
    /// 1 if the last probe succeeded.
    pub up: Gauge,
    /// Keeps the tasks running that these count for.
    pub tasks: Arc<Supervisor>,
    quarantined: Gauge,
    store_errors: Family<Label, Counter>,
    overloaded: Counter,
    timed_out: Counter,
    unavailable: Counter,
}

impl LoaderMetrics {
    fn new(registry: &mut Registry, tasks: Arc<Supervisor>) -> Self {
        let connections = Family::<Label, Gauge>::default();
        let of = |state| connections.get_or_create_owned(&[("state", state)]);
        // Made before the first failure: a rate needs a zero to begin with.
        let failures = Family::<Label, Counter>::default();
        let failed = |reason| failures.get_or_create_owned(&[("reason", reason)]);
        let metrics = Self {
            queued: Gauge::default(),
            wait_seconds: latency(0.000_1),
            batch_users: Histogram::new([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
            statement_seconds: latency(0.000_1),
            open: of("open"),
            busy: of("busy"),
            prober_open: of("prober"),
            quarantined: of("quarantined"),
            up: Gauge::default(),
            tasks,
            store_errors: Family::default(),
            overloaded: failed("overloaded"),
            timed_out: failed("timeout"),
            unavailable: failed("unavailable"),
        };
        registry.register(
            "store_up",
            "1 if the last probe of the database succeeded",
            metrics.up.clone(),
        );
        registry.register(
            "store_connections",
            "Connections to the database: open for requests, busy ones among them, quarantined ones among those \
             (their statement's deadline has passed, or they broke in the middle of one), and the prober's",
            connections,
        );
        registry.register(
            "store_statement_duration_seconds",
            "Time the database took for a statement",
            metrics.statement_seconds.clone(),
        );
        registry.register(
            "store_errors",
            "Failed statements and connections, by reason",
            metrics.store_errors.clone(),
        );
        registry.register(
            "loader_queue_users",
            "Users that wait for a connection",
            metrics.queued.clone(),
        );
        registry.register(
            "loader_wait_seconds",
            "Time users waited for a connection",
            metrics.wait_seconds.clone(),
        );
        registry.register(
            "loader_batch_users",
            "Users read by one statement",
            metrics.batch_users.clone(),
        );
        registry.register(
            "loader_failures",
            "Loads that failed: overloaded, timeout or unavailable",
            failures,
        );
        metrics
    }

    /// A load that failed.
    pub fn failed(&self, error: LoadError) {
        match error {
            LoadError::Overloaded => &self.overloaded,
            LoadError::TimedOut => &self.timed_out,
            LoadError::Unavailable(_) => &self.unavailable,
        }
        .inc();
    }

    /// A failure of the store itself.
    pub fn store_error(&self, reason: Reason) {
        self.store_errors
            .get_or_create(&[("reason", reason.as_str())])
            .inc();
    }

    /// Counts a connection as quarantined until the guard is dropped.
    #[must_use]
    pub fn quarantine(&self) -> Counted<'_> {
        Counted::new(&self.quarantined)
    }

    /// Counts a slot as busy until the guard is dropped.
    #[must_use]
    pub fn work(&self) -> Counted<'_> {
        Counted::new(&self.busy)
    }
}

/// One that a gauge counts until this is dropped, by a panic too.
pub struct Counted<'a>(&'a Gauge);

impl<'a> Counted<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Buckets of factor 2 from `first` seconds on, past the greatest deadline.
fn latency(first: f64) -> Histogram {
    Histogram::new(exponential_buckets(first, 2.0, 18))
}
