//! With a simulated API server: one reconcile panics, and another one at the same time does not.

use super::stores::Stores;
use super::upgrade::Upgrades;
use super::{Context, events::Events, run, sample};
use crate::lease::Candidate;
use crate::metrics::Metrics;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
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

#[tokio::test]
async fn a_panic_in_one_reconcile_is_an_error_of_that_resource_and_harms_no_other() {
    let writes = Writes::default();
    let received = Arc::clone(&writes);
    let played = service_fn(move |request| answer(request, Arc::clone(&received)));
    let client = Client::new(played, "default");
    let (wake, changes) = mpsc::unbounded_channel();
    let stores = Stores::watch(&client, None, &wake);
    let (candidate, leadership) = Candidate::new(client.clone(), "operator", "lease", "test");
    tokio::spawn(candidate.run(pending()));
    let metrics = Arc::new(Metrics::new("lease"));
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
        Arc::clone(&metrics),
        Upgrades::default(),
    ));
    ctx.stores.ready().await;
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
