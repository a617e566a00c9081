//! Queries the pods' `/health` in the background.

use super::context::Context;
use super::desired::deployment::ENFORCEMENT;
use super::kind::Kind;
use super::stores::{Service, named};
use crate::crd::BudgetEnforcement;
use crate::health::{Health, QUERIED_PODS, Round};
use crate::tuning::enforcement::{Record, Report};
use futures_util::future::join_all;
use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use reckon_contract::health::{ConnectionLimit, Model, STARTING};
use reckon_contract::network;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, interval, timeout};

/// How often each service is queried.
const PERIOD: Duration = Duration::from_secs(5);
/// Maximum wait for a pod.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A service that takes longer counts as slow.
const SLOW: Duration = Duration::from_secs(1);
/// Before the server can begin to enforce the budget, all pods of a service have to report. This is the number of
/// further pods that are queried in each round.
const IN_TURN: usize = 16;
/// How many services are queried at once: this many quick ones and this many slow ones.
const CONCURRENCY: usize = 32;
/// Maximum size of an answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// The fields that are read from a pod's answer.
#[derive(Deserialize)]
struct Answer {
    database: String,
    #[serde(default)]
    database_error: Option<String>,
    redis: String,
    #[serde(default)]
    redis_error: Option<String>,
    #[serde(default)]
    model: Option<Model>,
    #[serde(default)]
    connection_limit: Option<ConnectionLimit>,
}

impl Answer {
    /// The report about the pod's sessions; `None`: the answer has none.
    fn report(&self) -> Option<Report> {
        match &self.connection_limit {
            Some(limit) => Some(Report::Limit {
                account: limit
                    .account
                    .as_deref()
                    .and_then(|digits| u64::from_str_radix(digits, 16).ok()),
                connections: limit.connections,
            }),
            None if self.database_error.as_deref() == Some(STARTING) => Some(Report::Starting),
            None if self.database == "connected" => Some(Report::Unknown),
            None => None,
        }
    }
}

/// A pod to query.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    /// The name of the pod, if the address has one.
    pod: Option<String>,
    address: IpAddr,
}

/// Namespace and name of a service.
type Key = (String, String);

/// Limits concurrent queries. If the pods of a service were slow in the last round, its queries wait only for those of
/// other slow services. So pods that never answer, for example behind a policy that drops all packets, do not delay the
/// other services.
struct Lanes {
    quick: Semaphore,
    slow: Semaphore,
}

impl Lanes {
    fn new() -> Self {
        Self {
            quick: Semaphore::new(CONCURRENCY),
            slow: Semaphore::new(CONCURRENCY),
        }
    }

    /// Runs `asking` when it is its turn. Returns its result, and whether it was slow.
    async fn run<T>(&self, was_slow: bool, asking: impl Future<Output = T>) -> (T, bool) {
        let lane = if was_slow { &self.slow } else { &self.quick };
        // The semaphore is never closed.
        let _turn = lane.acquire().await;
        let began = Instant::now();
        let given = asking.await;
        (given, began.elapsed() >= SLOW)
    }
}

/// Queries pods for the lifetime of the process; triggers a reconcile of a resource whose health changed. Each service
/// has a separate task.
pub async fn run(ctx: Arc<Context>, wake: UnboundedSender<Service>) {
    let client = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(PERIOD * 4)
        .pool_max_idle_per_host(1)
        .build_http();
    let lanes = Arc::new(Lanes::new());
    let mut slow: HashSet<Key> = HashSet::new();
    let mut under_way: HashMap<Id, Key> = HashMap::new();
    let mut answers = JoinSet::new();
    let mut ticks = interval(PERIOD);
    let mut turn = 0_usize;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                if !ctx.leadership.is_held() {
                    continue;
                }
                turn = turn.wrapping_add(1);
                let busy: HashSet<&Key> = under_way.values().collect();
                let keys: Vec<Key> = ctx
                    .stores
                    .services
                    .state()
                    .iter()
                    .map(|service| (service.namespace().unwrap_or_default(), service.name_any()))
                    .filter(|key| !busy.contains(key))
                    .collect();
                slow.retain(|key| keys.contains(key) || busy.contains(key));
                for key in keys {
                    let was_slow = slow.contains(&key);
                    let (ctx, client, lanes) = (Arc::clone(&ctx), client.clone(), Arc::clone(&lanes));
                    let (namespace, name) = key.clone();
                    let asking = async move {
                        lanes.run(was_slow, ask(&ctx, &namespace, &name, turn, &client)).await
                    };
                    under_way.insert(answers.spawn(asking).id(), key);
                }
            }
            Some(ended) = answers.join_next_with_id() => {
                let (id, round, was_slow) = match ended {
                    Ok((id, (round, was_slow))) => (id, round, was_slow),
                    Err(error) => {
                        tracing::error!(%error, "failed to query a service's pods");
                        (error.id(), Round::default(), false)
                    }
                };
                let Some(key) = under_way.remove(&id) else {
                    continue;
                };
                let (namespace, name) = &key;
                if ctx.health.note(namespace, name, round) {
                    wake.send(named(name, namespace)).ok();
                }
                if was_slow {
                    slow.insert(key);
                } else {
                    slow.remove(&key);
                }
            }
        }
    }
}

/// Queries the few newest pods. While a proof needs all pods, also queries a part of the others in each round.
async fn ask(
    ctx: &Context,
    namespace: &str,
    name: &str,
    turn: usize,
    client: &Client<HttpConnector, Empty<&'static [u8]>>,
) -> Round {
    let slices = ctx.stores.addresses.of(namespace, name);
    let pods = ctx.stores.pods.of(namespace, name);
    let all = newest_first(&slices, &pods);
    let few = all.len().min(QUERIED_PODS as usize);
    let (newest, others) = all.split_at(few);
    let needs_proof = needs_proof(ctx, namespace, name);
    let others = if needs_proof {
        in_turn(others, turn)
    } else {
        Vec::new()
    };
    let asked: Vec<Asked> = newest.iter().cloned().chain(others).collect();
    let answers = asked.iter().map(|asked| answer(asked.address, client));
    let answers = join_all(answers).await;
    let reports = asked.iter().zip(&answers).filter_map(|(asked, answer)| {
        let report = answer.as_ref()?.report()?;
        Some((asked.pod.clone()?, report))
    });
    Round {
        reports: reports.collect(),
        health: summary(answers.into_iter().take(few).flatten().collect()),
        // Reports of pods that are no longer queried become outdated.
        pods: if needs_proof {
            pods.iter().map(ResourceExt::name_any).collect()
        } else {
            asked.into_iter().filter_map(|asked| asked.pod).collect()
        },
    }
}

/// Whether every pod has to report, so that the server can begin to enforce the budget. This is needed only with an
/// existing database, and only until the server enforces the budget.
fn needs_proof(ctx: &Context, namespace: &str, name: &str) -> bool {
    let Some(service) = ctx.stores.services.get(&named(name, namespace)) else {
        return false;
    };
    let mysql = &service.data["spec"]["mysql"];
    let wish = serde_json::from_value::<BudgetEnforcement>(mysql["budgetEnforcement"].clone());
    if mysql["external"].is_null() || wish.unwrap_or_default() == BudgetEnforcement::Plan {
        return false;
    }
    let deployments = ctx.stores.children.get(&Kind::Deployment);
    let own = deployments.map(|store| store.of(namespace, name));
    let record = own.into_iter().flatten().find_map(|deployment| {
        let record = deployment.annotations().get(ENFORCEMENT)?;
        record.parse::<Record>().ok()
    });
    !matches!(record, Some(Record::Server(_)))
}

/// A part of `pods`; each turn returns another part.
fn in_turn(pods: &[Asked], turn: usize) -> Vec<Asked> {
    let parts = pods.len().div_ceil(IN_TURN).max(1);
    let part = pods.chunks(IN_TURN).nth(turn % parts);
    part.unwrap_or_default().to_vec()
}

/// An address with the pod's name, ordered by the creation time of the pod.
type Found<'a> = (Reverse<Option<&'a Time>>, IpAddr, Option<&'a String>);

/// The pods to query, the newest first, because pods of a rollout's new template can observe faults that the other pods do
/// not.
fn newest_first(slices: &[EndpointSlice], pods: &[PartialObjectMeta<Pod>]) -> Vec<Asked> {
    let made: HashMap<String, Option<&Time>> = pods
        .iter()
        .map(|pod| (pod.name_any(), pod.metadata.creation_timestamp.as_ref()))
        .collect();
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
    let serving = endpoints.filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.terminating) != Some(true)
    });
    let found: BTreeSet<Found> = serving
        .flat_map(|endpoint| {
            let pod = endpoint
                .target_ref
                .as_ref()
                .and_then(|pod| pod.name.as_ref());
            let made = pod.and_then(|pod| made.get(pod).copied().flatten());
            let addresses = endpoint.addresses.iter();
            addresses.filter_map(move |address| Some((Reverse(made), address.parse().ok()?, pod)))
        })
        .collect();
    let mut known = HashSet::new();
    found
        .into_iter()
        .filter(|(_, address, _)| known.insert(*address))
        .map(|(_, address, pod)| Asked {
            pod: pod.cloned(),
            address,
        })
        .collect()
}

/// The combined answers. A pod that is just starting is ignored as long as others have answered.
fn summary(mut answers: Vec<Answer>) -> Option<Health> {
    let has_begun = |answer: &Answer| answer.database_error.as_deref() != Some(STARTING);
    if answers.iter().any(has_begun) {
        answers.retain(has_begun);
    }
    let mut health = Health::default();
    for answer in answers {
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
        if let Some(model) = answer.model {
            health.models.get_or_insert_default().add(model);
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
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        Some(body.collect().await.ok()?.to_bytes())
    });
    serde_json::from_slice(&body.await.ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::{
        Answer, Asked, CONCURRENCY, IN_TURN, Lanes, PERIOD, Report, SLOW, STARTING, in_turn,
        newest_first, summary,
    };
    use crate::health::Models;
    use k8s_openapi::api::core::v1::Pod;
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::core::PartialObjectMeta;
    use serde_json::json;
    use std::sync::Arc;
    use tokio::time::{Instant, sleep};

    #[test]
    fn the_newest_pods_are_queried_first_and_terminating_ones_never() {
        let endpoint = |pod: &str, address: &str, terminating: bool| {
            json!({
                "addresses": [address],
                "conditions": {"terminating": terminating},
                "targetRef": {"kind": "Pod", "name": pod},
            })
        };
        let slices: Vec<EndpointSlice> = serde_json::from_value(json!([
            {"addressType": "IPv4", "endpoints": [
                endpoint("old-1", "10.0.0.1", false),
                endpoint("old-2", "10.0.0.2", false),
                endpoint("old-3", "10.0.0.3", false),
                endpoint("ends", "10.0.0.4", true),
            ]},
            {"addressType": "IPv4", "endpoints": [
                endpoint("unknown", "10.0.0.5", false),
                endpoint("new", "10.0.0.9", false),
            ]},
        ]))
        .unwrap();
        let pod = |name: &str, made: &str| -> PartialObjectMeta<Pod> {
            let metadata = json!({"name": name, "creationTimestamp": made});
            serde_json::from_value(json!({"metadata": metadata})).unwrap()
        };
        let pods = [
            pod("old-1", "2026-03-04T05:06:07Z"),
            pod("old-2", "2026-03-04T05:06:07Z"),
            pod("old-3", "2026-03-04T05:06:08Z"),
            pod("ends", "2026-03-04T05:09:07Z"),
            pod("new", "2026-03-04T05:08:07Z"),
        ];
        let asked = newest_first(&slices, &pods);
        let name = |asked: &Asked| (asked.pod.clone().unwrap(), asked.address.to_string());
        let asked: Vec<(String, String)> = asked.iter().map(name).collect();
        let expected = [
            ("new", "10.0.0.9"),
            ("old-3", "10.0.0.3"),
            ("old-1", "10.0.0.1"),
            ("old-2", "10.0.0.2"),
            ("unknown", "10.0.0.5"),
        ];
        let expected = expected.map(|(pod, address)| (pod.to_owned(), address.to_owned()));
        assert_eq!(asked, expected);
    }

    #[test]
    fn every_pod_is_queried_in_its_turn() {
        let all: Vec<Asked> = (0..40)
            .map(|number| Asked {
                pod: Some(number.to_string()),
                address: std::net::Ipv4Addr::new(10, 0, 0, number).into(),
            })
            .collect();
        let mut asked = Vec::new();
        for turn in 5..8 {
            let part = in_turn(&all, turn);
            assert!(part.len() <= IN_TURN);
            asked.extend(part);
        }
        asked.sort_by_key(|asked| asked.address);
        assert_eq!(asked, all);
        assert!(in_turn(&[], 7).is_empty());
    }

    #[test]
    fn an_answer_reports_whether_the_pods_sessions_have_a_limit() {
        let report = |fields: serde_json::Value| {
            let mut answer = json!({"database": "connected", "redis": "connected"});
            for (name, value) in fields.as_object().unwrap() {
                answer[name] = value.clone();
            }
            serde_json::from_value::<Answer>(answer).unwrap().report()
        };
        let limit = |account, connections| {
            Some(Report::Limit {
                account,
                connections,
            })
        };
        let of_one =
            json!({"connection_limit": {"account": "00000000000000ff", "connections": 40}});
        let of_several = json!({"connection_limit": {"connections": 0}});
        assert_eq!(report(of_one), limit(Some(255), 40));
        assert_eq!(report(of_several), limit(None, 0));
        assert_eq!(report(json!({})), Some(Report::Unknown));
        let starts = json!({"database": "disconnected", "database_error": STARTING});
        assert_eq!(report(starts), Some(Report::Starting));
        let broken = json!({"database": "disconnected", "database_error": "timeout"});
        assert_eq!(report(broken), None);
    }

    #[test]
    fn a_pod_that_has_just_started_is_ignored_while_others_report() {
        let answer = |database: &str, error: Option<&str>| -> Answer {
            serde_json::from_value(json!({
                "database": database, "database_error": error, "redis": "not_configured",
            }))
            .unwrap()
        };
        let begun = || answer("disconnected", Some(STARTING));
        let trouble = |answers| {
            let health = summary(answers).unwrap();
            (health.answered, health.database_trouble)
        };
        assert_eq!(trouble(vec![begun(), answer("connected", None)]), (1, None));
        let denied = answer("disconnected", Some("access denied"));
        let expected = Some((1, "access denied".to_owned()));
        assert_eq!(trouble(vec![begun(), denied]), (1, expected));
        let expected = Some((2, STARTING.to_owned()));
        assert_eq!(trouble(vec![begun(), begun()]), (2, expected));
        assert_eq!(summary(Vec::new()), None);
    }

    #[test]
    fn the_models_of_the_pods_are_combined() {
        let answer = |model: serde_json::Value| -> Answer {
            let mut answer = json!({"database": "connected", "redis": "connected"});
            if !model.is_null() {
                answer["model"] = model;
            }
            serde_json::from_value(answer).unwrap()
        };
        let models = |models: &[serde_json::Value]| {
            let answers = models.iter().cloned().map(answer).collect();
            summary(answers).unwrap().models
        };
        assert_eq!(models(&[json!(null), json!(null)]), None);
        let old = json!({"version": "b", "created": 100});
        let new = json!({"version": "a", "created": 200, "problem": "checksum"});
        let expected = Models {
            reported: 3,
            loaded: 2,
            trouble: Some((1, "checksum".to_owned())),
            newest: Some((Some(200), "a".to_owned())),
        };
        assert_eq!(models(&[old, new, json!({}), json!(null)]), Some(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn services_that_drop_packets_do_not_delay_the_others() {
        let lanes = Arc::new(Lanes::new());
        let silent: Vec<_> = (0..20 * CONCURRENCY)
            .map(|_| {
                let lanes = Arc::clone(&lanes);
                tokio::spawn(async move { lanes.run(true, async { sleep(3 * SLOW).await }).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let began = Instant::now();
        for _ in 0..20 * CONCURRENCY {
            assert_eq!(lanes.run(false, async { 7 }).await, (7, false));
        }
        assert!(began.elapsed() < PERIOD / 100, "{:?}", began.elapsed());
        for ended in silent {
            assert!(ended.await.unwrap().1, "it was slow");
        }
    }
}
