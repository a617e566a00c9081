//! Starts the parts of the `run` command, and shuts them down at the end.

use crate::args::Run;
use crate::controller::events::Events;
use crate::controller::stores::{Service, Stores};
use crate::controller::upgrade::Upgrades;
use crate::controller::{self, Context, health_checks, wake_neighbours};
use crate::lease::Candidate;
use crate::metrics::Metrics;
use crate::ops::{self, Operations};
use crate::supervise::{self, Pulse};
use crate::watch_pace::WatchPace;
use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use kube::client::ClientBuilder;
use kube::runtime::events::Reporter;
use kube::{Client, Config};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tracing::info;

/// Maximum wait for the API server, except in watches.
const API_TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum wait at shutdown for reconciles in progress.
const LAST_RECONCILES: Duration = Duration::from_secs(10);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// The cluster's configuration is missing or invalid, the operations port is in use, or a task ended although it must
/// run for the lifetime of the process.
pub async fn run(args: &Run) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let client = client().await?;
    let listener = ops::listen(args.ops_listen).await.with_context(|| {
        format!(
            "failed to listen on {} (RECKON_OPS_LISTEN)",
            args.ops_listen
        )
    })?;
    let identity = match &args.identity {
        Some(identity) => identity.clone(),
        None => random_identity()?,
    };
    let (candidate, leadership) = Candidate::new(
        client.clone(),
        &args.at.lease_namespace,
        &args.at.lease_name,
        &identity,
    );
    let metrics = Arc::new(Metrics::new(&args.at.lease_name));
    let named = args.at.named();
    let scopes = scopes(&named);
    let unlisted = Arc::new(AtomicUsize::new(scopes.len()));
    let pulses: Vec<Pulse> = scopes.iter().map(|_| Pulse::new()).collect();
    let operations = Operations {
        metrics: Arc::clone(&metrics),
        leadership: leadership.clone(),
        unlisted: Arc::clone(&unlisted),
        pulses: pulses.clone(),
    };
    let mut probes = tokio::spawn(ops::serve(listener, operations));
    info!(version = env!("CARGO_PKG_VERSION"), namespaces = ?args.at.named(), identity, "started");

    let (stop, stopped) = watch::channel(false);
    let upgrades = Upgrades::default();
    let mut controllers = tokio::task::JoinSet::new();
    for ((stores, wake, changes), pulse) in watch_all(&client, &scopes).into_iter().zip(pulses) {
        let reporter = Reporter {
            controller: "reckon-operator".to_owned(),
            instance: Some(identity.clone()),
        };
        let ctx = Arc::new(Context::new(
            client.clone(),
            args.defaults(),
            stores,
            leadership.clone(),
            Events::new(client.clone(), reporter),
            Arc::clone(&metrics),
            upgrades.clone(),
        ));
        let mut ending = stopped.clone();
        let changes = UnboundedReceiverStream::new(changes).take_until(async move {
            ending.wait_for(|stopped| *stopped).await.ok();
        });
        let listed = Arc::clone(&unlisted);
        controllers.spawn(async move {
            let controller = async {
                // Only this place waits for a store: with several waiters, one of them may never be woken.
                ctx.stores.ready().await;
                listed.fetch_sub(1, Ordering::Relaxed);
                beside("health", &ctx, &wake, health_checks::run);
                beside("servers", &ctx, &wake, wake_neighbours::follow);
                controller::run(Arc::clone(&ctx), changes).await;
            };
            tokio::select! {
                () = controller => {}
                never = pulse.beat() => match never {},
            }
        });
    }
    // The process keeps the Lease until no reconcile is in progress.
    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let mut lease = tokio::spawn(candidate.run(async move {
        released.await.ok();
    }));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        // A leader that does nothing but keeps the Lease is worse than no leader.
        Some(ended) = controllers.join_next() => bail!("a controller no longer runs: {}", supervise::end(ended)),
        ended = &mut lease => bail!("the Lease is no longer renewed: {}", supervise::end(ended)),
        ended = &mut probes => bail!("the operations port is no longer served: {}", supervise::end(ended.map(drop))),
    }
    info!("stopping");
    stop.send_replace(true);
    tokio::time::timeout(LAST_RECONCILES, async {
        while controllers.join_next().await.is_some() {}
    })
    .await
    .ok();
    release.send(()).ok();
    lease.await.context("the Lease's task ended early")
}

/// Runs a task beside a controller for the lifetime of the process.
fn beside<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    ctx: &Arc<Context>,
    wake: &mpsc::UnboundedSender<Service>,
    task: impl Fn(Arc<Context>, mpsc::UnboundedSender<Service>) -> F + Send + 'static,
) {
    let (ctx, wake) = (Arc::clone(ctx), wake.clone());
    let metrics = Arc::clone(&ctx.metrics);
    let start = move || task(Arc::clone(&ctx), wake.clone());
    tokio::spawn(supervise::keep(name, metrics, start));
}

type Watched = (
    Stores,
    mpsc::UnboundedSender<Service>,
    mpsc::UnboundedReceiver<Service>,
);

/// Watches each scope. The stores of each scope can also read the resources of all other scopes.
fn watch_all(client: &Client, scopes: &[Option<&str>]) -> Vec<Watched> {
    let watch = |namespace| {
        let (wake, changes) = mpsc::unbounded_channel();
        (Stores::watch(client, namespace, &wake), wake, changes)
    };
    let mut watched: Vec<Watched> = scopes.iter().copied().map(watch).collect();
    let services: Vec<_> = watched
        .iter()
        .map(|(stores, ..)| stores.services.clone())
        .collect();
    for (own, (stores, ..)) in watched.iter_mut().enumerate() {
        let others = services.iter().enumerate();
        let others = others.filter(|(number, _)| *number != own);
        stores.elsewhere = others.map(|(_, store)| store.clone()).collect();
    }
    watched
}

/// One scope for each namespace, or one for the whole cluster.
fn scopes(named: &[String]) -> Vec<Option<&str>> {
    if named.is_empty() {
        vec![None]
    } else {
        named.iter().map(|name| Some(name.as_str())).collect()
    }
}

async fn client() -> anyhow::Result<Client> {
    let mut config = Config::infer().await.context(
        "found no cluster: neither a pod's service account nor a kubeconfig (KUBECONFIG)",
    )?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(API_TIMEOUT);
    let builder = ClientBuilder::try_from(config).context("invalid settings of the cluster")?;
    Ok(builder.with_layer(&WatchPace::default()).build())
}

/// An identity that no other operator has. Two operators with the same identity would both hold the Lease.
fn random_identity() -> anyhow::Result<String> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| {
        anyhow::anyhow!("failed to read random bytes for the identity: {error}")
    })?;
    Ok(format!(
        "reckon-operator-{:016x}",
        u64::from_be_bytes(random)
    ))
}
