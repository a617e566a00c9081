//! Limits how often a watch of the Kubernetes API is started again.
//!
//! kube begins a watch again as soon as the server ends it. This is right for a watch that lasted for minutes. But if a
//! proxy ends each watch at once, each watch would send about ninety requests a second.

use futures_util::future::BoxFuture;
use http::{Request, Response, Uri};
use kube::client::Body;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tower::{Layer, Service};

/// Minimum time between two beginnings of the same watch.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// Delays the requests that begin a watch too early, and no other request.
#[derive(Clone, Default)]
pub struct WatchPace {
    /// When each watch may be begun again; as many as the operator has watches.
    next: Arc<Mutex<HashMap<String, Instant>>>,
}

impl WatchPace {
    /// When the request may be sent; `None` if it begins no watch.
    fn admit(&self, uri: &Uri) -> Option<Instant> {
        let watch = watch_of(uri)?;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let at = next.get(&watch).map_or(now, |next| now.max(*next));
        next.insert(watch, at + MIN_INTERVAL);
        Some(at)
    }
}

/// Identifies a watch: the path and the query, without the version from which the watch continues.
fn watch_of(uri: &Uri) -> Option<String> {
    let mut parameters: Vec<_> = uri.query()?.split('&').collect();
    if !parameters.contains(&"watch=true") {
        return None;
    }
    parameters.retain(|parameter| !parameter.starts_with("resourceVersion="));
    Some(format!("{}?{}", uri.path(), parameters.join("&")))
}

impl<S> Layer<S> for WatchPace {
    type Service = Paced<S>;

    fn layer(&self, inner: S) -> Paced<S> {
        Paced {
            inner,
            pace: self.clone(),
        }
    }
}

/// See [`WatchPace`].
pub struct Paced<S> {
    inner: S,
    pace: WatchPace,
}

impl<S, B> Service<Request<Body>> for Paced<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let at = self.pace.admit(request.uri());
        // No request is sent before the future is polled.
        let response = self.inner.call(request);
        Box::pin(async move {
            if let Some(at) = at {
                sleep_until(at).await;
            }
            response.await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{MIN_INTERVAL, WatchPace};
    use http::{Request, Response};
    use kube::client::Body;
    use std::convert::Infallible;
    use tokio::time::Instant;
    use tower::{Layer as _, Service as _, service_fn};

    async fn seconds_until_sent(pace: &WatchPace, uri: &str) -> f64 {
        let began = Instant::now();
        let mut service = pace.layer(service_fn(async |_: Request<Body>| {
            Ok::<_, Infallible>(Response::new(Instant::now()))
        }));
        let request = Request::get(uri).body(Body::empty()).unwrap();
        let sent = service.call(request).await.unwrap().into_body();
        (sent - began).as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_at_once_is_restarted_once_a_second() {
        let pace = WatchPace::default();
        let mut last = 0.0;
        for version in 0..5 {
            let uri = format!("/api/v1/pods?&watch=true&resourceVersion={version}");
            last = seconds_until_sent(&pace, &uri).await;
        }
        assert!((0.99..1.01).contains(&last), "{last}");
        // Another watch and other requests are sent at once.
        for uri in [
            "/api/v1/services?&watch=true&resourceVersion=1",
            "/api/v1/pods?&limit=500",
        ] {
            assert!(seconds_until_sent(&pace, uri).await < 0.01, "{uri}");
        }
        tokio::time::sleep(MIN_INTERVAL).await;
        let uri = "/api/v1/pods?&watch=true&resourceVersion=9";
        assert!(seconds_until_sent(&pace, uri).await < 0.01);
    }
}
