//! How the API runs: sizes, limits and deadlines, read from one YAML file.
//!
//! Defaults and bounds stand here once: the schema that `schemars` derives from these types is also what
//! [`Tuning::parse`] checks a file against.

use crate::check::{self, Problem};
use crate::cidr::Cidr;
use crate::tables::Tables;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Client connections of a process whose tuning does not say how many: 64 MiB at most.
pub const DEFAULT_CONNECTIONS: u32 = 2048;
/// Greatest size of a client's connection in bytes, while its request is incomplete: a buffer of 16 KiB for reading, one of
/// 8 KiB for writing, and the rest (28 KiB measured by `tests/it/hostile/connections.rs`).
pub const CONNECTION_BYTES: u64 = 32 << 10;

/// Everything that can be tuned. An absent field has its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Tuning {
    /// Program that wrote this file, for instance `reckon-operator/0.1.0`. Absent in a file that a person wrote.
    /// In a file that a program wrote, unknown fields are warnings: an older API starts under a newer operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_by: Option<String>,
    /// The HTTP server.
    pub server: Server,
    /// The database.
    pub store: Store,
    /// Names of tables and columns, and the type of user ids.
    #[serde(skip_serializing_if = "Tables::is_default")]
    pub tables: Tables,
    /// Caches.
    pub cache: Cache,
    /// Whether Reckon finds new rows of the tables itself.
    #[serde(skip_serializing_if = "Freshness::is_default")]
    pub freshness: Freshness,
    /// What is recommended.
    pub recommendation: Recommendation,
    /// Which requests need an API key.
    pub auth: Auth,
    /// Events that clients send, and erasure of users. Default: disabled.
    #[serde(skip_serializing_if = "Events::is_default")]
    pub events: Events,
    /// Limits for each client. Absent: no limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// Limits of the HTTP server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Server {
    /// Worker threads. Default: one for each available processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub threads: Option<u32>,
    /// Maximum number of requests in flight. A further one is answered 503. Each request has a connection, so `maxConnections`
    /// limits them too. Default 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_requests_in_flight: u32,
    /// Maximum number of open client connections. A further one closes the connection that has been waiting for its client for
    /// the longest time (an incomplete request first, then an idle connection). The new connection is answered 503 if a
    /// request is being handled on every connection. A connection takes up to 32 KiB. Default: 2048; on Kubernetes derived from
    /// the container's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16, max = 1_000_000))]
    pub max_connections: Option<u32>,
    /// Deadline of a request in milliseconds. After it, the answer is a stale copy or 504. Default 5000.
    #[schemars(range(min = 100, max = 60_000))]
    pub request_timeout_milliseconds: u32,
    /// Seconds for which the process continues to serve after SIGTERM, marked not ready, before it stops accepting connections.
    /// Default 5.
    #[schemars(range(min = 0, max = 100))]
    pub drain_seconds: u32,
    /// Maximum age of a client's connection in seconds, with a jitter of 10 %. An older one is closed with its next answer, so
    /// that a load balancer can use new processes. Default 300.
    #[schemars(range(min = 1, max = 86_400))]
    pub connection_max_age_seconds: u32,
    /// Requests that get a line in the log. A line has the request id, method, route, status, duration and cause, and never a
    /// user id or an address.
    pub access_log: AccessLog,
}

/// Requests that get a line in the log. No value is called `off`: YAML 1.1 reads that as false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AccessLog {
    /// None.
    None,
    /// Those answered 500 or above: at most 20 at once and one a second in the long run.
    #[default]
    Errors,
    /// Every request.
    All,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            threads: None,
            max_requests_in_flight: 4096,
            max_connections: None,
            request_timeout_milliseconds: 5000,
            drain_seconds: 5,
            connection_max_age_seconds: 300,
            access_log: AccessLog::default(),
        }
    }
}

impl Server {
    /// Client connections open at once.
    #[must_use]
    pub fn most_connections(&self) -> u32 {
        self.max_connections.unwrap_or(DEFAULT_CONNECTIONS)
    }

    /// Deadline of a request.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_milliseconds.into())
    }

    /// How long the process goes on serving after SIGTERM.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds.into())
    }

    /// Age after which a client's connection is closed with its next answer.
    #[must_use]
    pub fn connection_max_age(&self) -> Duration {
        Duration::from_secs(self.connection_max_age_seconds.into())
    }
}

/// Limits towards the database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Store {
    /// Every connection of the process to the database: one for probes, one for events if `events.enabled` is set, the others
    /// for requests. Default 10.
    #[schemars(range(min = 2, max = 10_000))]
    pub pool_size: u32,
    /// Connections that are always open, those for probes and events included. Further ones, up to `poolSize`, are opened while
    /// requests wait and closed after 30 s without work; if the server refuses one of these, requests wait. If this is set, the
    /// process is ready once these connections are open. Default: `poolSize`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2, max = 10_000))]
    pub min_pool_size: Option<u32>,
    /// Maximum connection limit (`MAX_USER_CONNECTIONS`) of the process's account in MySQL or MariaDB. Connections beyond
    /// `minPoolSize` are open only while every session of the process reports a limit (`@@max_user_connections`) from 1 to this
    /// number. Default: no such condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub account_limit: Option<u32>,
    /// Minimum connection limit of that account. While a session reports a lower limit, connections beyond `minPoolSize` are
    /// closed, so that processes with smaller pools can take their places. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_account_limit: Option<u32>,
    /// Milliseconds a request waits for the database, in the queue and for its statement together. The server ends the
    /// statement earlier by itself. Default 2000.
    #[schemars(range(min = 200, max = 60_000))]
    pub query_timeout_milliseconds: u32,
    /// Users that may wait for a connection; one more is answered 503. Default 2048.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub queue_length: u32,
    /// Seconds after which a connection to the database is replaced by a new one, between two statements and one at a time,
    /// so that the process follows when the host's address changes. Default 1800.
    #[schemars(range(min = 1, max = 86_400))]
    pub connection_max_age_seconds: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            pool_size: 10,
            min_pool_size: None,
            account_limit: None,
            min_account_limit: None,
            query_timeout_milliseconds: 2000,
            queue_length: 2048,
            connection_max_age_seconds: 1800,
        }
    }
}

impl Store {
    /// Connections that are always open, those for probes and events included.
    #[must_use]
    pub fn base(&self) -> u32 {
        self.min_pool_size
            .map_or(self.pool_size, |least| least.min(self.pool_size))
    }

    /// The limits of the account under which connections beyond the base are allowed. `None`: any, or none at all.
    #[must_use]
    pub fn permitted_limits(&self) -> Option<RangeInclusive<u32>> {
        let (least, greatest) = (self.min_account_limit, self.account_limit);
        let is_set = least.is_some() || greatest.is_some();
        is_set.then(|| least.unwrap_or(1)..=greatest.unwrap_or(u32::MAX))
    }

    fn contradicting_limits(&self) -> Option<Problem> {
        let (least, greatest) = (self.min_account_limit?, self.account_limit?);
        (least > greatest).then(|| {
            let sentence =
                format!("is {least}: expected at most store.accountLimit, which is {greatest}");
            Problem::new("store.minAccountLimit", sentence)
        })
    }

    /// Connections for requests, at most: neither for probes nor for events.
    #[must_use]
    pub fn readers(&self, events: &Events) -> u32 {
        self.pool_size.saturating_sub(1 + u32::from(events.enabled))
    }

    /// How long a request waits for the database.
    #[must_use]
    pub fn query_timeout(&self) -> Duration {
        Duration::from_millis(self.query_timeout_milliseconds.into())
    }

    /// The greatest age of a connection to the database.
    #[must_use]
    pub fn connection_max_age(&self) -> Duration {
        Duration::from_secs(self.connection_max_age_seconds.into())
    }
}

/// Caches of finished answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Cache {
    /// The memory cache of the process.
    pub memory: MemoryCache,
    /// The cache that many processes share, when one is configured.
    pub shared: SharedCache,
    /// Seconds for which an expired answer is kept. It is served, marked `STALE`, only while the database is unavailable. 0
    /// keeps none. Default 3600.
    #[schemars(range(min = 0, max = 604_800))]
    pub stale_seconds: u32,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            memory: MemoryCache::default(),
            shared: SharedCache::default(),
            stale_seconds: 3600,
        }
    }
}

impl Cache {
    /// How long an answer is kept beyond its age limit.
    #[must_use]
    pub fn stale(&self) -> Duration {
        Duration::from_secs(self.stale_seconds.into())
    }
}

/// The memory cache of one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MemoryCache {
    /// Greatest size in bytes, each entry's overhead included; 0 turns the memory cache off. Default 64 MiB.
    #[schemars(range(min = 0, max = 1_099_511_627_776_u64))]
    pub max_bytes: u64,
    /// Time to live of a cached answer in seconds, with a jitter of 10 %. Default 300.
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_seconds: u32,
    /// The same for a user without any rows. Default 60.
    #[schemars(range(min = 1, max = 86_400))]
    pub empty_ttl_seconds: u32,
}

impl Default for MemoryCache {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            ttl_seconds: 300,
            empty_ttl_seconds: 60,
        }
    }
}

impl MemoryCache {
    /// How long an answer is fresh.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds.into())
    }

    /// How long an answer about a user without rows is fresh.
    #[must_use]
    pub fn empty_ttl(&self) -> Duration {
        Duration::from_secs(self.empty_ttl_seconds.into())
    }
}

/// The cache that many processes share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SharedCache {
    /// Time to live of a cached answer in seconds, with a jitter of 10 %. Default 3600.
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: u32,
    /// Milliseconds after which an operation has failed and counts as a miss. Default 50.
    #[schemars(range(min = 1, max = 5000))]
    pub timeout_milliseconds: u32,
}

impl Default for SharedCache {
    fn default() -> Self {
        Self {
            ttl_seconds: 3600,
            timeout_milliseconds: 50,
        }
    }
}

impl SharedCache {
    /// How long an answer is fresh.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        Duration::from_secs(self.ttl_seconds.into())
    }

    /// How long an operation may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_milliseconds.into())
    }
}

/// How new rows of the tables are found, so that cached answers of their users are invalidated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Freshness {
    /// Seconds between two polls of each table for new rows, whose users are invalidated in all instances. A table is followed
    /// by its `tables.*.sequence`, else by its `AUTO_INCREMENT` column, else by its time if that column is the first of an index.
    /// Default: 0, which means that the tables are not polled.
    #[schemars(range(min = 0, max = 3600))]
    pub poll_seconds: u32,
    /// Seconds by which a row's time may be older than the newest time of the table when the row is committed. Only for tables
    /// that are followed by time. Default: 60.
    #[schemars(range(min = 1, max = 3600))]
    pub overlap_seconds: u32,
}

impl Default for Freshness {
    fn default() -> Self {
        Self {
            poll_seconds: 0,
            overlap_seconds: 60,
        }
    }
}

impl Freshness {
    /// Time between two polls; `None`: the tables are not polled.
    #[must_use]
    pub fn poll(&self) -> Option<Duration> {
        (self.poll_seconds > 0).then(|| Duration::from_secs(self.poll_seconds.into()))
    }

    /// By how much a row's time may be older than the newest one.
    #[must_use]
    pub fn overlap(&self) -> Duration {
        Duration::from_secs(self.overlap_seconds.into())
    }

    /// Whether every field has its default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What is recommended, and from how much history.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Recommendation {
    /// How categories are ranked. Default: `NextBasket`.
    pub algorithm: Algorithm,
    /// Number of newest rows of each table that are used. Default: 100 for `Classic`, 500 for `NextBasket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub history_length: Option<u32>,
    /// Whether a request may choose the algorithm itself, with `?algorithm=classic` or `?algorithm=nextBasket`. Default false.
    pub algorithm_parameter: bool,
    /// Gives a part of the users another algorithm, to compare both (A/B test). Absent: all users get `algorithm`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<Experiment>,
    /// Whether categories that differ only in upper and lower case, or in blanks at their ends, count as one. The category is
    /// written as in the trained model, otherwise as in the user's newest purchase, otherwise as in the newest search. Train a new
    /// model after a change. Default: `false`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("default" = false))]
    pub fold_categories: bool,
    /// Settings of `NextBasket`.
    pub next_basket: NextBasket,
    /// Settings of the categories to explore under `NextBasket`.
    pub explore: Explore,
}

impl Recommendation {
    /// Number of newest rows of each table that `algorithm` uses.
    #[must_use]
    pub fn history_length(&self) -> u32 {
        self.history_length_of(self.algorithm)
    }

    /// Number of newest rows of each table that this algorithm uses.
    #[must_use]
    pub fn history_length_of(&self, algorithm: Algorithm) -> u32 {
        self.history_length.unwrap_or(match algorithm {
            Algorithm::Classic => 100,
            Algorithm::NextBasket => 500,
        })
    }

    /// Number of newest rows of each table that are read: the algorithm that needs more decides.
    #[must_use]
    pub fn rows_read(&self) -> u32 {
        let lengths = self
            .algorithms()
            .map(|algorithm| self.history_length_of(algorithm));
        lengths.max().unwrap_or_default()
    }

    /// Whether some users get this algorithm.
    #[must_use]
    pub fn uses(&self, algorithm: Algorithm) -> bool {
        self.algorithms().any(|used| used == algorithm)
    }

    fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        let experiment = self.experiment.as_ref();
        std::iter::once(self.algorithm).chain(experiment.map(|experiment| experiment.algorithm))
    }

    fn contradiction(&self) -> Option<Problem> {
        let experiment = self.experiment.as_ref()?;
        (experiment.algorithm == self.algorithm).then(|| {
            let algorithm = self.algorithm.name();
            let sentence =
                format!("is \"{algorithm}\": expected another one than recommendation.algorithm");
            Problem::new("recommendation.experiment.algorithm", sentence)
        })
    }
}

/// Another algorithm for a part of the users. Who gets it depends on the user's id and on `name` only: it is the same in all
/// processes and versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Name of the experiment, at most 63 characters. Another name selects other users. Default `experiment`.
    #[serde(default = "experiment_name")]
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The algorithm of the users in the experiment: another one than `recommendation.algorithm`.
    pub algorithm: Algorithm,
    /// Percentage of the users who get it.
    #[schemars(range(min = 1, max = 99))]
    pub percent: u8,
}

fn experiment_name() -> String {
    "experiment".to_owned()
}

/// How categories are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    /// Counts of searches and purchases, as in the service that Reckon replaces.
    Classic,
    /// Predicts the user's next purchases: recent shopping days count more, and popular categories count too.
    #[default]
    NextBasket,
}

impl Algorithm {
    /// Its name, as in a tuning file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "Classic",
            Self::NextBasket => "NextBasket",
        }
    }
}

/// Settings of the next-basket ranking. The score of a category is the sum of `decay^j` over the user's shopping days on
/// which the category was bought (j = 0 is the newest), its searches, and `priorDays` times the share of all users' baskets
/// that contain it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NextBasket {
    /// Weight of a shopping day relative to the next newer one. Default 0.95.
    #[schemars(range(min = 0.5, max = 1.0))]
    pub decay: f64,
    /// Weight of the popularity among all users, as a number of shopping days. Default 6.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub prior_days: f64,
    /// Weight of a day on which the category was searched, relative to one on which it was bought. Not calibrated: measure
    /// your data with `reckon-api evaluate`. Default 1.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub search_weight: f64,
    /// Number of days after which a search counts half. Not calibrated. Default 7.
    #[schemars(range(min = 0.1, max = 3650.0))]
    pub search_half_life_days: f64,
    /// How several purchases, or searches, of a category on one day count.
    pub per_day: PerDay,
}

impl Default for NextBasket {
    fn default() -> Self {
        Self {
            decay: 0.95,
            prior_days: 6.0,
            search_weight: 1.0,
            search_half_life_days: 7.0,
            per_day: PerDay::default(),
        }
    }
}

/// How several purchases, or searches, of a category on one day count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PerDay {
    /// As one.
    #[default]
    Once,
    /// `log2(1 + n)` for n rows: better where most users have one day only.
    Log,
}

/// Settings of the categories to explore: categories that are not recommended and that the user has not bought for some time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Explore {
    /// Number of days for which the user must not have bought a category. Default 90.
    #[schemars(range(min = 1, max = 3650))]
    pub not_bought_days: u32,
    /// Weight of the share of users who recently began to buy the category. Default 1.5.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub take_up_weight: f64,
    /// Weight of `ln(1 + days)` for the days on which the user bought the category before. Default 0.3.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub bought_before_weight: f64,
}

impl Default for Explore {
    fn default() -> Self {
        Self {
            not_bought_days: 90,
            take_up_weight: 1.5,
            bought_before_weight: 0.3,
        }
    }
}

/// Which requests need an API key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Auth {
    /// Whether reads need a key too; mutating requests always do. `/health`, `/docs` and `/openapi.json` stay open.
    /// Default false.
    pub reads: bool,
}

/// `POST /events`, which writes to the tables, and `DELETE /users/{user_id}`, which erases a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Events {
    /// Whether the API accepts events and erases users. It then uses one connection of `store.poolSize` for writing.
    /// Default false.
    pub enabled: bool,
    /// Number of days for which the ids of events and the erasures of users are kept: a repeated event is recognized
    /// during this time. Default 7.
    #[schemars(range(min = 1, max = 365))]
    pub retention_days: u32,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            enabled: false,
            retention_days: 7,
        }
    }
}

impl Events {
    /// For how long ids of events and erasures of users are kept.
    #[must_use]
    pub fn retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.retention_days) * 86_400)
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits for each client, in each process. A client is an IPv4 address or an IPv6 /64.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RateLimit {
    /// Sustained rate in requests per second. A request beyond it is answered 429. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub requests_per_second: Option<u32>,
    /// Burst: requests that a client may send at once after a pause. Default: `requestsPerSecond`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Maximum open connections. A further one is answered 429 and closed. Trusted proxies are exempt. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_client: Option<u32>,
    /// Address blocks (CIDR) of proxies whose `X-Forwarded-For` header is trusted. The client is the right-most address in it
    /// that is in none of these blocks. Requests of a proxy without that header, such as health checks, are not limited. At
    /// most 64; default none.
    #[schemars(length(max = 64))]
    pub trusted_proxies: Vec<Cidr>,
}

/// A tuning file as it was read.
#[derive(Debug)]
pub struct Parsed {
    /// The values.
    pub tuning: Tuning,
    /// Fields that this version does not know, in a file that a program wrote.
    pub unknown: Vec<Problem>,
}

/// Why a tuning file is refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is not YAML.
    #[error("not valid YAML: {0}")]
    Syntax(serde_yaml::Error),
    /// Fields are unknown, of another type or out of range: all of them.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

impl Tuning {
    /// Reads a tuning file (YAML); an empty one is the defaults.
    ///
    /// # Errors
    /// Every field that is unknown, of another type or out of range, with its path, its value and what would be right.
    pub fn parse(text: &str) -> Result<Parsed, Error> {
        // By way of a YAML value, since it refuses a repeated field where a JSON value keeps the last.
        let value: serde_yaml::Value = serde_yaml::from_str(text).map_err(Error::Syntax)?;
        let value = serde_json::to_value(value)
            .map_err(|error| Error::Invalid(vec![Problem::new("", error)]))?;
        let value = if value.is_null() {
            serde_json::json!({})
        } else {
            value
        };
        let by_program = value
            .get("writtenBy")
            .is_some_and(serde_json::Value::is_string);
        let (unknown, mut invalid): (Vec<_>, Vec<_>) = check::problems(&value, &schema())
            .into_iter()
            .partition(|problem| by_program && problem.is_unknown_field());
        let tuning = if invalid.is_empty() {
            serde_json::from_value(value)
                .map_err(|error| Error::Invalid(vec![Problem::new("", error)]))?
        } else {
            Self::default()
        };
        invalid.extend(tuning.contradictions());
        if invalid.is_empty() {
            Ok(Parsed { tuning, unknown })
        } else {
            Err(Error::Invalid(invalid))
        }
    }

    /// Reads the part `tables` alone (YAML).
    ///
    /// # Errors
    /// As [`Tuning::parse`].
    pub fn parse_tables(text: &str) -> Result<Tables, Error> {
        let tables: serde_yaml::Value = serde_yaml::from_str(text).map_err(Error::Syntax)?;
        let tuning = serde_yaml::Mapping::from_iter([("tables".into(), tables)]);
        let tuning = serde_yaml::to_string(&tuning).map_err(Error::Syntax)?;
        Self::parse(&tuning).map(|parsed| parsed.tuning.tables)
    }

    /// Values that are each within their range and do not fit together.
    fn contradictions(&self) -> Vec<Problem> {
        let deadlines = self.contradicting_deadlines();
        let limits = self.rate_limit.as_ref().and_then(RateLimit::contradiction);
        let pool = self.contradicting_pool();
        let tables = self.tables.contradictions();
        let experiment = self.recommendation.contradiction();
        deadlines
            .into_iter()
            .chain(limits)
            .chain(pool)
            .chain(tables)
            .chain(experiment)
            .collect()
    }

    fn contradicting_pool(&self) -> Vec<Problem> {
        let (size, least) = (self.store.pool_size, self.store.min_pool_size);
        let too_few = |field: &str, given: u32| {
            let sentence = format!(
                "is {given}: expected at least 3, because events.enabled is true (one connection for probes, one for events, \
                 the others for requests)"
            );
            (self.events.enabled && given < 3).then(|| Problem::new(field, sentence))
        };
        let too_many = least.filter(|least| *least > size).map(|least| {
            let sentence = format!("is {least}: expected at most store.poolSize, which is {size}");
            Problem::new("store.minPoolSize", sentence)
        });
        let too_few = [
            too_few("store.poolSize", size),
            least.and_then(|least| too_few("store.minPoolSize", least)),
        ];
        let too_few = too_few.into_iter().flatten();
        too_few
            .chain(too_many)
            .chain(self.store.contradicting_limits())
            .collect()
    }

    fn contradicting_deadlines(&self) -> Option<Problem> {
        let (query, request) = (
            self.store.query_timeout_milliseconds,
            self.server.request_timeout_milliseconds,
        );
        (query > request).then(|| {
            Problem::new(
                "store.queryTimeoutMilliseconds",
                format!("is {query}: expected at most server.requestTimeoutMilliseconds, which is {request}"),
            )
        })
    }
}

impl RateLimit {
    fn contradiction(&self) -> Option<Problem> {
        match (self.requests_per_second, self.connections_per_client) {
            (None, None) => Some(Problem::new(
                "rateLimit",
                "limits nothing: expected requestsPerSecond or connectionsPerClient",
            )),
            (None, Some(_)) => self.burst.map(|burst| {
                let sentence = format!("is {burst}: expected requestsPerSecond beside it");
                Problem::new("rateLimit.burst", sentence)
            }),
            (Some(_), _) => None,
        }
    }
}

/// The JSON schema of [`Tuning`], without references.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Tuning>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Tuning, schema};

    fn rejection(yaml: &str) -> String {
        Tuning::parse(yaml).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(Tuning::parse("").unwrap().tuning, Tuning::default());
        assert_eq!(
            Tuning::parse("server: {}").unwrap().tuning,
            Tuning::default()
        );
    }

    #[test]
    fn the_defaults_written_out_read_back_equal() {
        let yaml = serde_yaml::to_string(&Tuning::default()).unwrap();
        assert_eq!(Tuning::parse(&yaml).unwrap().tuning, Tuning::default());
    }

    #[test]
    fn a_value_out_of_range_is_rejected_with_path_value_and_range() {
        assert_eq!(
            rejection("store: {poolSize: 1}"),
            "store.poolSize is 1: expected an integer from 2 to 10000"
        );
        assert_eq!(
            rejection("server: {threads: 0}\ncache: {memory: {ttlSeconds: 1.5}}"),
            "cache.memory.ttlSeconds is 1.5: expected an integer from 1 to 86400; \
             server.threads is 0: expected an integer from 1 to 256"
        );
    }

    #[test]
    fn a_value_of_another_type_is_rejected_with_the_expected_one() {
        assert_eq!(
            rejection("server: 5"),
            "server is 5: expected a mapping of fields"
        );
        assert_eq!(
            rejection("recommendation: {algorithm: classic}"),
            "recommendation.algorithm is \"classic\": expected one of Classic, NextBasket"
        );
        assert_eq!(
            rejection("store: {poolSize: null}"),
            "store.poolSize is null: expected an integer from 2 to 10000"
        );
        assert_eq!(
            rejection("[]"),
            "the file is []: expected a mapping of fields"
        );
    }

    #[test]
    fn an_unknown_field_is_rejected_with_the_known_ones() {
        assert_eq!(
            rejection("store: {poolsize: 3}"),
            "store.poolsize is unknown: expected one of accountLimit, connectionMaxAgeSeconds, minAccountLimit, minPoolSize, poolSize, \
             queryTimeoutMilliseconds, queueLength"
        );
    }

    #[test]
    fn an_unknown_field_in_a_file_that_a_program_wrote_is_only_reported() {
        let parsed =
            Tuning::parse("writtenBy: reckon-operator/9.9.9\nstore: {poolSize: 4, warp: 9}")
                .unwrap();
        assert_eq!(parsed.tuning.store.pool_size, 4);
        assert_eq!(parsed.unknown.len(), 1);
        assert!(
            parsed.unknown[0]
                .to_string()
                .starts_with("store.warp is unknown")
        );
        rejection("writtenBy: reckon-operator/9.9.9\nstore: {poolSize: 1}");
    }

    #[test]
    fn deadlines_that_contradict_each_other_are_rejected() {
        assert_eq!(
            rejection("server: {requestTimeoutMilliseconds: 1000}"),
            "store.queryTimeoutMilliseconds is 2000: expected at most server.requestTimeoutMilliseconds, which is 1000"
        );
    }

    #[test]
    fn a_rate_limit_is_parsed_and_invalid_values_are_named() {
        let yaml = "rateLimit: {requestsPerSecond: 100, trustedProxies: [10.0.0.0/8]}";
        let limit = Tuning::parse(yaml).unwrap().tuning.rate_limit.unwrap();
        assert_eq!((limit.requests_per_second, limit.burst), (Some(100), None));
        assert_eq!(limit.trusted_proxies, ["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(
            Tuning::parse("rateLimit: null").unwrap().tuning.rate_limit,
            None
        );
        assert_eq!(
            rejection("rateLimit: {requestsPerSecond: 0, trustedProxies: [10.0.0.0/8, proxy]}"),
            "rateLimit.requestsPerSecond is 0: expected an integer from 1 to 1000000; \
             rateLimit.trustedProxies[1] is \"proxy\": expected a block of addresses such as 10.0.0.0/8 or 2001:db8::/32"
        );
        assert_eq!(
            rejection("rateLimit: {trustedProxies: [10.0.0.0/8]}"),
            "rateLimit limits nothing: expected requestsPerSecond or connectionsPerClient"
        );
        assert_eq!(
            rejection("rateLimit: {burst: 5, connectionsPerClient: 5}"),
            "rateLimit.burst is 5: expected requestsPerSecond beside it"
        );
    }

    #[test]
    fn an_experiment_is_parsed_and_invalid_values_are_named() {
        let read =
            |fields: &str| Tuning::parse(&format!("recommendation: {{experiment: {fields}}}"));
        let (main, other) = match Algorithm::default() {
            Algorithm::Classic => ("Classic", "NextBasket"),
            Algorithm::NextBasket => ("NextBasket", "Classic"),
        };
        let given = format!("{{algorithm: {other}, percent: 5}}");
        let recommendation = read(&given).unwrap().tuning.recommendation;
        let experiment = recommendation.experiment.as_ref().unwrap();
        assert_eq!((&*experiment.name, experiment.percent), ("experiment", 5));
        assert!(
            recommendation.uses(Algorithm::Classic) && recommendation.uses(Algorithm::NextBasket)
        );
        assert_eq!(recommendation.rows_read(), 500);
        assert_eq!(recommendation.history_length_of(Algorithm::Classic), 100);
        assert!(
            read("null")
                .unwrap()
                .tuning
                .recommendation
                .experiment
                .is_none()
        );
        let rejection = |fields: &str| read(fields).unwrap_err().to_string();
        for (fields, message) in [
            (
                format!("{{algorithm: {main}, percent: 5}}"),
                format!(
                    "recommendation.experiment.algorithm is \"{main}\": expected another one than recommendation.algorithm"
                ),
            ),
            (
                "{}".to_owned(),
                "recommendation.experiment has no algorithm: it is required; recommendation.experiment has no percent: it is required"
                    .to_owned(),
            ),
            (
                format!("{{algorithm: {other}, percent: 100}}"),
                "recommendation.experiment.percent is 100: expected an integer from 1 to 99".to_owned(),
            ),
            (
                format!("{{algorithm: {other}, percent: 1, name: ''}}"),
                "recommendation.experiment.name is \"\": expected 1 to 63 characters".to_owned(),
            ),
        ] {
            assert_eq!(rejection(&fields), message);
        }
    }

    #[test]
    fn a_written_rate_limit_reads_back_equal() {
        let yaml = "rateLimit: {requestsPerSecond: 5, burst: 9, trustedProxies: ['2001:db8::/32']}";
        let tuning = Tuning::parse(yaml).unwrap().tuning;
        let written = serde_yaml::to_string(&tuning).unwrap();
        assert_eq!(Tuning::parse(&written).unwrap().tuning, tuning);
    }

    #[test]
    fn events_need_a_separate_connection() {
        assert_eq!(
            rejection("{store: {poolSize: 2}, events: {enabled: true}}"),
            "store.poolSize is 2: expected at least 3, because events.enabled is true (one connection for probes, one for \
             events, the others for requests)"
        );
        let parsed = Tuning::parse("{store: {poolSize: 3}, events: {enabled: true}}").unwrap();
        assert_eq!(parsed.tuning.store.readers(&parsed.tuning.events), 1);
    }

    #[test]
    fn the_connections_that_are_always_open_are_part_of_the_pool() {
        let parsed = Tuning::parse("store: {poolSize: 10, minPoolSize: 2, accountLimit: 64}");
        let store = parsed.unwrap().tuning.store;
        assert_eq!((store.base(), store.permitted_limits()), (2, Some(1..=64)));
        let least = Tuning::parse("store: {minAccountLimit: 30}")
            .unwrap()
            .tuning
            .store;
        assert_eq!(least.permitted_limits(), Some(30..=u32::MAX));
        let default = Tuning::default().store;
        assert_eq!((default.base(), default.permitted_limits()), (10, None));
        assert_eq!(
            rejection("store: {accountLimit: 20, minAccountLimit: 30}"),
            "store.minAccountLimit is 30: expected at most store.accountLimit, which is 20"
        );
        assert_eq!(
            rejection("store: {poolSize: 4, minPoolSize: 5}"),
            "store.minPoolSize is 5: expected at most store.poolSize, which is 4"
        );
        assert_eq!(
            rejection("{store: {poolSize: 4, minPoolSize: 2}, events: {enabled: true}}"),
            "store.minPoolSize is 2: expected at least 3, because events.enabled is true (one connection for probes, one for \
             events, the others for requests)"
        );
        assert_eq!(
            rejection("store: {minPoolSize: 1, accountLimit: 0}"),
            "store.accountLimit is 0: expected an integer from 1 to 1000000; \
             store.minPoolSize is 1: expected an integer from 2 to 10000"
        );
    }

    #[test]
    fn absent_sizes_of_the_pool_are_not_written() {
        let written = serde_yaml::to_string(&Tuning::default()).unwrap();
        assert!(!written.contains("minPoolSize") && !written.contains("accountLimit"));
    }

    #[test]
    fn a_repeated_field_is_rejected() {
        assert!(rejection("store: {poolSize: 3, poolSize: 4}").contains("poolSize"));
    }

    #[test]
    fn the_documentation_shows_the_defaults() {
        let page = include_str!("../../../docs/settings.md");
        let (_, from_block) = page.split_once("```yaml\nserver:").unwrap();
        let (block, _) = from_block.split_once("```").unwrap();
        let mut shown = Tuning::parse(&format!("server:{block}")).unwrap().tuning;
        // These have no default value to show.
        assert!(shown.server.threads.take().is_some());
        assert_eq!(
            shown.server.max_connections.take(),
            Some(super::DEFAULT_CONNECTIONS)
        );
        assert!(shown.rate_limit.take().is_some());
        let length = shown.recommendation.history_length.take();
        assert_eq!(length, Some(shown.recommendation.history_length()));
        assert_eq!(shown, Tuning::default());
    }

    #[test]
    fn every_field_has_a_description() {
        fn walk(path: &str, schema: &serde_json::Value) {
            for (name, field) in schema["properties"].as_object().into_iter().flatten() {
                assert!(
                    field["description"].is_string(),
                    "{path}.{name} has no description"
                );
                walk(&format!("{path}.{name}"), field);
            }
        }
        walk("", &schema());
    }
}
