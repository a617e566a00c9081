//! With a simulated API server: a reconcile that panics beside one that does not, and resources that need no action.

use super::stores::{Service, Stores};
use super::upgrade::Upgrades;
use super::{Context, RESYNC, events::Events, run, sample, stages};
use crate::lease::Candidate;
use crate::metrics::Metrics;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use kube::runtime::events::Reporter;
use reckon_harness::eventually::eventually;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::service_fn;

const SOON: Duration = Duration::from_secs(20);

/// The requested writes.
type Writes = Arc<Mutex<Vec<String>>>;

/// Answers with two resources in two namespaces, and no other objects. Any access to the namespace `bad` panics.
async fn answer(request: Request<Body>, writes: Writes) -> Result<Response<Body>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    assert!(!path.contains("/namespaces/bad"), "scripted panic");
    if request.uri().query().unwrap_or_default().contains("watch=") {
        return pending().await;
    }
    if method != Method::GET {
        writes.lock().unwrap().push(format!("{method} {path}"));
        let body = request.into_body().collect_bytes().await.unwrap();
        return Ok(Response::new(body.to_vec().into()));
    }
    let items: Vec<Value> = if path.ends_with("/recommendationservices") {
        ["bad", "good"].map(resource).into()
    } else {
        Vec::new()
    };
    let (status, body) = if path.contains("/namespaces/") {
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound",
            "message": "not found", "code": 404});
        (StatusCode::NOT_FOUND, status)
    } else {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items});
        (StatusCode::OK, list)
    };
    let mut response = Response::new(body.to_string().into_bytes().into());
    *response.status_mut() = status;
    Ok(response)
}

fn resource(namespace: &str) -> Value {
    let mut resource = sample::value(sample::MINIMAL);
    resource["metadata"]["namespace"] = namespace.into();
    resource["metadata"]["uid"] = namespace.into();
    resource
}

/// A context of the leader, and the changes of the watched objects.
async fn context(writes: &Writes) -> (Arc<Context>, mpsc::UnboundedReceiver<Service>) {
    let received = Arc::clone(writes);
    let played = service_fn(move |request| answer(request, Arc::clone(&received)));
    let client = Client::new(played, "default");
    let (wake, changes) = mpsc::unbounded_channel();
    let stores = Stores::watch(&client, None, &wake);
    let (candidate, leadership) = Candidate::new(client.clone(), "operator", "lease", "test");
    tokio::spawn(candidate.run(pending()));
    leadership.held().await;
    let reporter = Reporter {
        controller: "test".to_owned(),
        instance: None,
    };
    let ctx = Arc::new(Context::new(
        client.clone(),
        sample::defaults(),
        stores,
        leadership,
        Events::new(client, reporter),
        Arc::new(Metrics::new("lease")),
        Upgrades::default(),
    ));
    ctx.stores.ready().await;
    (ctx, changes)
}

/// Without this, the last reconcile of an operator whose resources are all like this would be long ago, as if it was
/// stuck.
#[tokio::test]
async fn resources_that_are_invalid_or_are_being_deleted_are_reconciled_again() {
    let (ctx, _changes) = context(&Writes::default()).await;
    let mut invalid = resource("good");
    invalid["spec"] = json!({});
    let mut deleted = resource("good");
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    for resource in [invalid, deleted] {
        let service = serde_json::from_value(resource).unwrap();
        let next = Box::pin(stages(&service, &ctx)).await.unwrap();
        assert_eq!(next, Action::requeue(RESYNC));
    }
}

#[tokio::test]
async fn a_panic_in_one_reconcile_is_an_error_of_that_resource_and_harms_no_other() {
    let writes = Writes::default();
    let (ctx, changes) = context(&writes).await;
    let metrics = Arc::clone(&ctx.metrics);
    let running = tokio::spawn(run(ctx, UnboundedReceiverStream::new(changes)));

    // The panic occurs more than once, because the reconcile is retried.
    eventually(SOON, async || {
        let text = metrics.text(None);
        let panics = text.lines().find_map(|line| {
            line.strip_prefix("reckon_operator_panics_total{task=\"reconcile\"} ")
        });
        panics.is_some_and(|panics| panics.parse::<u32>().unwrap() >= 2)
    })
    .await;
    eventually(SOON, async || {
        let writes = writes.lock().unwrap();
        writes
            .iter()
            .any(|write| write.contains("/namespaces/good/"))
    })
    .await;
    assert!(!running.is_finished());
    println!("{:#?}", writes.lock().unwrap());
}
