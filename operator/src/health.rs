//! What the pods say of their database and shared cache: their `/health`, asked in the background.

use crate::controller::Context;
use crate::controller::stores::{Service, named};
use futures_util::StreamExt as _;
use futures_util::stream;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::ResourceExt as _;
use reckon_contract::network;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{interval, timeout};

/// How often each service is asked.
const PERIOD: Duration = Duration::from_secs(5);
/// Longest wait for a pod.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Pods of a service that are asked: what one sees of a server, others see.
pub const ASKED: u32 = 3;
/// Services that are asked at once.
const AT_ONCE: usize = 32;
/// Longest answer that is read, in bytes.
const LONGEST_ANSWER: usize = 64 << 10;

/// What pods say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Pods that answered.
    pub answered: u32,
    /// Of these, those that cannot ask the database, with the reason of one.
    pub database_trouble: Option<(u32, String)>,
    /// Of these, those that cannot ask the shared cache, with the reason of one.
    pub cache_trouble: Option<(u32, String)>,
}

/// What pods said last, by namespace and name of the service.
#[derive(Debug, Default)]
pub struct HealthBook {
    known: Mutex<HashMap<(String, String), Health>>,
}

impl HealthBook {
    /// What the pods of a service said last; `None`: none answered.
    #[must_use]
    pub fn of(&self, namespace: &str, name: &str) -> Option<Health> {
        let known = self.known.lock().ok()?;
        known.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// Notes what they say; whether that is new.
    fn note(&self, namespace: &str, name: &str, health: Option<Health>) -> bool {
        let Ok(mut known) = self.known.lock() else {
            return false;
        };
        let key = (namespace.to_owned(), name.to_owned());
        match health {
            Some(health) => known.insert(key, health.clone()) != Some(health),
            None => known.remove(&key).is_some(),
        }
    }
}

/// What is read of a pod's answer.
#[derive(Deserialize)]
struct Answer {
    database: String,
    #[serde(default)]
    database_error: Option<String>,
    redis: String,
    #[serde(default)]
    redis_error: Option<String>,
}

/// Asks for as long as the process lives; wakes a resource whose pods say something new.
pub async fn run(ctx: Arc<Context>, wake: UnboundedSender<Service>) {
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(PERIOD * 4)
        .pool_max_idle_per_host(1)
        .build_http();
    let mut ticks = interval(PERIOD);
    loop {
        ticks.tick().await;
        if !ctx.leadership.is_held() {
            continue;
        }
        let services = ctx.stores.services.state();
        let asked = stream::iter(services).map(|service| {
            let (ctx, client) = (&ctx, &client);
            async move {
                let (namespace, name) =
                    (service.namespace().unwrap_or_default(), service.name_any());
                let health = ask(&addresses(ctx, &namespace, &name), client).await;
                (namespace, name, health)
            }
        });
        let mut answers = asked.buffer_unordered(AT_ONCE);
        while let Some((namespace, name, health)) = answers.next().await {
            if ctx.health.note(&namespace, &name, health) {
                wake.send(named(&name, &namespace)).ok();
            }
        }
    }
}

fn addresses(ctx: &Context, namespace: &str, name: &str) -> BTreeSet<IpAddr> {
    let slices = ctx.stores.addresses.of(namespace, name);
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
    endpoints
        .filter(|endpoint| {
            let conditions = endpoint.conditions.as_ref();
            conditions.and_then(|conditions| conditions.terminating) != Some(true)
        })
        .flat_map(|endpoint| endpoint.addresses.iter())
        .filter_map(|address| address.parse().ok())
        .take(ASKED as usize)
        .collect()
}

async fn ask(
    addresses: &BTreeSet<IpAddr>,
    client: &Client<HttpConnector, Empty<&'static [u8]>>,
) -> Option<Health> {
    let mut health = Health::default();
    for address in addresses {
        let Some(answer) = answer(*address, client).await else {
            continue;
        };
        health.answered += 1;
        if answer.database != "connected" {
            let reason = answer
                .database_error
                .unwrap_or_else(|| "not connected".to_owned());
            let count = health
                .database_trouble
                .as_ref()
                .map_or(0, |(count, _)| *count);
            health.database_trouble = Some((count + 1, reason));
        }
        if answer.redis == "disconnected" {
            let reason = answer
                .redis_error
                .unwrap_or_else(|| "not connected".to_owned());
            let count = health.cache_trouble.as_ref().map_or(0, |(count, _)| *count);
            health.cache_trouble = Some((count + 1, reason));
        }
    }
    (health.answered > 0).then_some(health)
}

async fn answer(
    address: IpAddr,
    client: &Client<HttpConnector, Empty<&'static [u8]>>,
) -> Option<Answer> {
    let authority = std::net::SocketAddr::new(address, network::HTTP_PORT);
    let uri: Uri = format!("http://{authority}{}", network::HEALTH)
        .parse()
        .ok()?;
    let body = timeout(TIMEOUT, async {
        let response = client.get(uri).await.ok()?;
        let body = Limited::new(response.into_body(), LONGEST_ANSWER);
        Some(body.collect().await.ok()?.to_bytes())
    });
    serde_json::from_slice(&body.await.ok()??).ok()
}
