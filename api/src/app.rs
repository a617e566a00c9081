//! Connects the parts of `serve` at the start, and shuts them down at the end.

use crate::api_keys;
use crate::args::{Auth, Serve};
use crate::cache::generation::Generations;
use crate::cache::memory::MemoryCache;
use crate::cache::shared::{Address, Identity, SharedCache};
use crate::events::Events;
use crate::freshness::Follower;
use crate::http::access::Access;
use crate::http::{App, Operations, Phase, Readiness, edge::Edge, router, server};
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::rate_limit::RateLimit;
use crate::recommend::Recommender;
use crate::store::location::Location;
use crate::store::mysql::{MySql, write::MySqlWriter};
use crate::store::sqlite::{Sqlite, write::SqliteWriter};
use crate::supervise::{Supervisor, Task};
use crate::trained;
use anyhow::{Context as _, bail};
use reckon_contract::tuning::Algorithm;
use reckon_contract::{Tuning, env};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

/// Maximum time for the last responses, after the deadline of their requests. With the time for closing connections,
/// the process ends within two seconds of that deadline.
const LAST_RESPONSES_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum connections to the operations port: a few probes and scrapes at a time.
const OPERATIONS_CONNECTIONS: u32 = 128;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// A port cannot be opened, the demo data cannot be created, or a server task ended unexpectedly.
pub async fn serve(args: &Serve, tuning: Tuning) -> anyhow::Result<()> {
    let metrics = Arc::new(Metrics::new(&tuning));
    let tasks = Arc::clone(&metrics.tasks);
    let access = access(args, &tuning, &metrics)?;
    let is_local = matches!(access, Access::Local);
    let location = args.database.location();
    let redis = args.shared_cache.address()?;
    if let Location::Sqlite(path) = &location {
        crate::demo::load::ensure_file(path, args.demo, &tuning.tables).await?;
    }
    // This comes before the first request can be served. Until here, a signal ends the process at once.
    let signals = Signals::listen()?;
    let listener = listen(args.listen, env::LISTEN)?;
    let ops_listener = listen(args.ops_listen, env::OPS_LISTEN)?;

    let recommender = recommender(args, &location, redis, &tuning, &metrics);
    let events = tuning.events.enabled;
    let events = events.then(|| Arc::new(events_of(&location, &recommender, &tuning, &metrics)));
    let follower = Follower::new(&recommender, &tuning, &metrics.freshness);
    let (announce, phase) = watch::channel(Phase::Serving);
    let app = Arc::new(App {
        recommender: Arc::clone(&recommender),
        events: events.clone(),
        metrics: Arc::clone(&metrics.http),
        tuning: tuning.clone(),
        access,
        freshness: follower.as_ref().map(|follower| follower.status()),
        started: Instant::now(),
    });
    let operations = Operations {
        recommender: Arc::clone(&recommender),
        tasks: Arc::clone(&tasks),
        readiness: Readiness::new(
            phase.clone(),
            recommender.loader().availability(),
            recommender.loader().base_is_complete(),
        ),
        metrics: {
            let metrics = Arc::clone(&metrics);
            Box::new(move || metrics.text())
        },
    };
    let edge = Edge::new(
        router(Arc::clone(&app)),
        Arc::clone(&metrics.http),
        tuning.server.max_requests_in_flight,
        phase.clone(),
    )
    .answering_directly(app)
    .logging(tuning.server.access_log)
    .limited(tuning.rate_limit.as_ref().map(RateLimit::new));
    let (api, operations_port) = (listener.local_addr()?, ops_listener.local_addr()?);
    info!(version = env!("CARGO_PKG_VERSION"), %api, operations = %operations_port, "serving");
    if is_local {
        warn_of_local_access();
    }

    let limits = server::Limits {
        connections: tuning.server.most_connections(),
        connection_max_age: tuning.server.connection_max_age(),
    };
    let mut operations = tokio::spawn(server::serve(
        ops_listener,
        Arc::new(operations),
        server::Limits {
            connections: OPERATIONS_CONNECTIONS,
            ..limits
        },
        phase.clone(),
    ));
    tokio::spawn(drain_store(Arc::clone(&recommender), phase.clone()));
    let heartbeat = tokio::spawn(Arc::clone(&tasks).heartbeat());
    let following = follow(follower, &tasks);
    let outages = tokio::spawn(Arc::clone(&tasks).keep(Task::Outages, move |_| {
        crate::http::outage_log::report(Arc::clone(&metrics.http))
    }));
    let mut api = tokio::spawn(server::serve(listener, Arc::new(edge), limits, phase));

    tokio::select! {
        biased;
        () = drain_at_signal(signals, &announce, tuning.server.drain()) => {}
        ended = &mut api => bail!("the API's port is no longer served: {ended:?}"),
        ended = &mut operations => bail!("the operations port is no longer served: {ended:?}"),
    }
    tasks.close();
    let answered = tokio::time::timeout(
        tuning.server.request_timeout() + LAST_RESPONSES_TIMEOUT,
        api,
    );
    let (answered, ()) = tokio::join!(answered, recommender.finish_warming());
    if answered.is_err() {
        warn!("shutdown timed out with requests in flight");
    }
    if let Some(events) = events {
        events.close().await;
    }
    drop(following);
    recommender.close().await;
    operations.abort();
    outages.abort();
    heartbeat.abort();
    info!("ended");
    Ok(())
}

/// When the process begins to drain, allows the loader to close the connections that it does not need.
async fn drain_store(recommender: Arc<Recommender>, mut phase: watch::Receiver<Phase>) {
    // An error means that the process has ended.
    phase.wait_for(|phase| *phase != Phase::Serving).await.ok();
    recommender.loader().drain();
}

/// The recommender with its loader and caches.
fn recommender(
    args: &Serve,
    location: &Location,
    redis: Option<Address>,
    tuning: &Tuning,
    metrics: &Metrics,
) -> Arc<Recommender> {
    let memory = metrics.cache.memory_cache(&tuning.cache.memory);
    let local = (Arc::new(Generations::default()), memory);
    Arc::new(Recommender::new(
        loader(location, args.model.as_deref(), tuning, metrics),
        redis.map(|address| shared_cache(address, args, tuning, metrics, &local)),
        local,
        tuning,
        Arc::clone(&metrics.cache),
        Arc::clone(&metrics.models),
    ))
}

/// Warns that mutating requests need no key, but must come from this machine.
fn warn_of_local_access() {
    warn!(
        "no API keys are configured: mutating requests are accepted from every program on this machine, and refused through \
         proxies and from web pages; a proxy that adds no Forwarded, X-Forwarded-* or Via header is not recognized: set \
         {}, or {}=off to disable authentication",
        env::API_KEYS,
        env::AUTH
    );
}

/// Runs the follower until the handle is dropped.
fn follow(
    follower: Option<Arc<Follower>>,
    tasks: &Arc<Supervisor>,
) -> Option<AbortOnDropHandle<()>> {
    let follower = follower?;
    let run = move |_| Arc::clone(&follower).run();
    let following = tokio::spawn(Arc::clone(tasks).keep(Task::Freshness, run));
    Some(AbortOnDropHandle::new(following))
}

fn listen(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    server::listen(address).with_context(|| format!("failed to listen on {address} ({variable})"))
}

/// The access rules; logs a setting that may be unintended.
fn access(args: &Serve, tuning: &Tuning, metrics: &Metrics) -> anyhow::Result<Access> {
    let reads = tuning.auth.reads;
    match (args.auth, &args.api_keys) {
        (Auth::Off, path) => {
            if path.is_some() || reads {
                warn!(
                    "{}=off: every request is open to everybody, whatever {} and auth.reads say",
                    env::AUTH,
                    env::API_KEYS
                );
            }
            Ok(Access::Open)
        }
        (Auth::On, Some(path)) => {
            let keys = api_keys::follow(path, &metrics.tasks)
                .with_context(|| format!("the keys file {} ({})", path.display(), env::API_KEYS))?;
            Ok(Access::Keyed { keys, reads })
        }
        (Auth::On, None) if args.listen.ip().to_canonical().is_loopback() => Ok(Access::Local),
        (Auth::On, None) => {
            warn!(
                "no API keys are configured, so requests that require one are answered 403: set {}, or {}=off",
                env::API_KEYS,
                env::AUTH
            );
            Ok(Access::Closed { reads })
        }
    }
}

/// The loader. It follows the model that is published in the store, unless the model is a file, or no algorithm in use
/// needs a model.
fn loader(location: &Location, model: Option<&Path>, tuning: &Tuning, metrics: &Metrics) -> Loader {
    let length = tuning.recommendation.rows_read();
    let mut store = tuning.store.clone();
    // The loader has one connection for probes, and those for requests.
    store.pool_size = 1 + store.readers(&tuning.events);
    store.min_pool_size = store
        .min_pool_size
        .map(|least| least - u32::from(tuning.events.enabled));
    let store = &store;
    let needs_model = tuning.recommendation.uses(Algorithm::NextBasket);
    let models = match (needs_model, model) {
        (false, _) => None,
        (true, None) => Some(Arc::clone(&metrics.models).into()),
        (true, Some(path)) => {
            trained::file::follow(path, &metrics.tasks, Arc::clone(&metrics.models));
            None
        }
    };
    let metrics = Arc::clone(&metrics.loader);
    match location {
        Location::MySql(address) => {
            let mysql = MySql::new(address, store.query_timeout(), &tuning.tables);
            Loader::start(mysql, store, length, metrics, models)
        }
        Location::Sqlite(path) => Loader::start(
            Sqlite::new(path, &tuning.tables),
            store,
            length,
            metrics,
            models,
        ),
    }
}

/// The part that stores events, over a connection of its own.
fn events_of(
    location: &Location,
    recommender: &Arc<Recommender>,
    tuning: &Tuning,
    metrics: &Metrics,
) -> Events {
    let recommender = Arc::clone(recommender);
    let (events, connections) = (&metrics.events, &metrics.loader);
    match location {
        Location::MySql(address) => {
            let mysql = MySqlWriter::new(address, tuning.store.query_timeout(), &tuning.tables);
            Events::start(mysql, recommender, tuning, events, connections)
        }
        Location::Sqlite(path) => {
            let sqlite = SqliteWriter::new(path, &tuning.tables);
            Events::start(sqlite, recommender, tuning, events, connections)
        }
    }
}

fn shared_cache(
    address: Address,
    args: &Serve,
    tuning: &Tuning,
    metrics: &Metrics,
    (generations, memory): &(Arc<Generations>, MemoryCache),
) -> SharedCache {
    let store = args.database.location().name();
    let identity = Identity::new(args.shared_cache.identity.as_deref(), &store, tuning);
    let (generations, memory) = (Arc::clone(generations), memory.clone());
    SharedCache::start(
        address,
        identity,
        tuning.cache.shared.timeout(),
        Arc::clone(&metrics.shared),
        move |what| {
            generations.apply(&what);
            memory.remove(&what);
        },
    )
}

/// The signals that shut the process down.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From this call on, these signals no longer end the process by default.
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?,
        })
    }
}

/// Returns when the process should shut down. After SIGTERM, the process is not ready but continues to serve for the
/// drain time. After SIGINT it stops serving, and a further SIGINT ends the process at once. A repeated SIGTERM has no
/// effect: supervisors send it again.
async fn drain_at_signal(signals: Signals, announce: &watch::Sender<Phase>, drain: Duration) {
    let Signals {
        mut terminate,
        mut interrupt,
    } = signals;
    let terminated = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    if terminated {
        info!(seconds = drain.as_secs(), "draining");
        announce.send_replace(Phase::Draining);
        tokio::select! {
            () = tokio::time::sleep(drain) => {}
            _ = interrupt.recv() => {}
        }
    }
    announce.send_replace(Phase::Stopping);
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
}
