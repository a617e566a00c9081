//! The checks before every handler and the headers of every response, in one layer: separate standard layers cost a
//! third of the throughput.

use super::access_log::{AccessLog, Answered};
use super::app::App;
use super::body::UnreadBody;
use super::cause::Cause;
use super::direct::{Direct, Pending};
use super::method::MethodName;
use super::metrics::HttpMetrics;
use super::phase::Phase;
use super::problem::Problem;
use super::rejection::Rejection;
use super::route::Route;
use super::server::{Client, Handler};
use super::session::{self, KeptBody};
use super::trace_context::TraceContext;
use crate::hexadecimal::hexadecimal;
use crate::rate_limit::{Connected, RateLimit};
use axum::{Router, body::Body, response::IntoResponse, response::Response};
use futures_util::FutureExt;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use reckon_contract::tuning;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tower::Service;

/// Maximum length of path and query, in bytes.
const MAX_URI: usize = 8 * 1024;
/// Maximum request body, in bytes. It is read only so that the connection can be reused.
const MAX_BODY: usize = 64 * 1024;
/// Maximum time to read a request body.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum length of a client's request id, in characters; a longer one is replaced.
const MAX_REQUEST_ID: usize = 128;
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The HTTP API with the edge around it.
pub struct Edge {
    router: Router,
    direct: Option<Direct>,
    metrics: Arc<HttpMetrics>,
    most_in_flight: i64,
    phase: watch::Receiver<Phase>,
    request_ids: RequestIds,
    rate_limit: Option<RateLimit>,
    access_log: AccessLog,
}

impl Edge {
    /// Puts the edge around `router`.
    #[must_use]
    pub fn new(
        router: Router,
        metrics: Arc<HttpMetrics>,
        most_in_flight: u32,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self {
            router,
            direct: None,
            metrics,
            most_in_flight: most_in_flight.into(),
            phase,
            request_ids: RequestIds::default(),
            rate_limit: None,
            access_log: AccessLog::new(tuning::AccessLog::default()),
        }
    }

    /// Answers the most frequent requests without the router, which has the routes of `app`.
    #[must_use]
    pub fn answering_directly(self, app: Arc<App>) -> Self {
        Self {
            direct: Some(Direct::new(app)),
            ..self
        }
    }

    /// Enables the rate limit for each client.
    #[must_use]
    pub fn limited(self, rate_limit: Option<RateLimit>) -> Self {
        Self { rate_limit, ..self }
    }

    /// Logs the requests that `mode` selects.
    #[must_use]
    pub fn logging(self, mode: tuning::AccessLog) -> Self {
        Self {
            access_log: AccessLog::new(mode),
            ..self
        }
    }

    /// The response to one request from `peer`.
    pub async fn answer<B>(&self, request: Request<B>, peer: IpAddr) -> Response {
        let began = Instant::now();
        let id = self.request_ids.of(&request);
        let method = MethodName::of(request.method());
        let trace = if self.access_log.is_on() {
            TraceContext::of(request.headers())
        } else {
            None
        };
        let in_flight = self.metrics.in_flight.inc() + 1;
        let _leaves = InFlightGuard(&self.metrics);
        let rejection = if in_flight > self.most_in_flight {
            Some(Rejection::InFlightLimitReached)
        } else {
            self.rejection(&request, peer, began)
        };
        let (mut response, route) = if let Some(rejection) = rejection {
            self.metrics.rejected(rejection);
            (Problem::from(rejection).into_response(), Route::Unmatched)
        } else {
            match self.answer_directly(&request, began) {
                Some((route, Ok(response))) => (response, route),
                // Boxed, so that the future of a memory hit stays small: it is moved several times.
                Some((route, Err(pending))) => (Box::pin(caught(pending.answer())).await, route),
                None => Box::pin(self.route(request)).await,
            }
        };
        let (status, took) = (response.status(), began.elapsed());
        self.metrics
            .answered((route, method), status, took.as_secs_f64());
        let answered = Answered {
            id: &id,
            trace,
            what: (route, method),
            response: &response,
            took,
        };
        self.access_log.log(&answered, began + took);
        response.headers_mut().insert(X_REQUEST_ID, id);
        response
    }

    async fn handle_with_body(&self, request: Request<Incoming>, client: Client) -> Response {
        let (mut head, body) = request.into_parts();
        if head.method == Method::POST && head.uri.path() == Route::Events.template() {
            return self.handle_unread(head, body, client).await;
        }
        let keeps = head.method == Method::POST && head.uri.path() == Route::Session.template();
        let mut kept = Vec::new();
        let body_is_read = read_to_its_end(body, keeps.then_some(&mut kept)).await;
        if keeps {
            let is_whole = body_is_read && kept.len() <= session::MAX_BYTES;
            head.extensions
                .insert(KeptBody(is_whole.then(|| kept.into())));
        }
        let response = self
            .answer(Request::from_parts(head, ()), client.peer())
            .await;
        self.finish(response, body_is_read, client)
    }

    /// Handles a request whose handler reads the body. Rejected requests take no memory for their body.
    async fn handle_unread(&self, mut head: Parts, body: Incoming, client: Client) -> Response {
        let body = UnreadBody::new(body);
        head.extensions.insert(body.clone());
        let response = self
            .answer(Request::from_parts(head, ()), client.peer())
            .await;
        let is_read = match body.take() {
            Ok(unread) => read_to_its_end(unread, None).await,
            Err(is_read) => is_read,
        };
        self.finish(response, is_read, client)
    }

    /// Closes the connection with this response if it cannot be reused or should not be.
    fn finish(&self, mut response: Response, body_is_read: bool, client: Client) -> Response {
        if !body_is_read || *self.phase.borrow() != Phase::Serving || client.is_old() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    fn rejection<B>(&self, request: &Request<B>, peer: IpAddr, now: Instant) -> Option<Rejection> {
        let rate_limit = self.rate_limit.as_ref()?;
        let counted = rate_limit.request(peer, request.headers(), now);
        counted.err().map(Rejection::TooManyRequests)
    }

    fn answer_directly<B>(
        &self,
        request: &Request<B>,
        now: Instant,
    ) -> Option<(Route, Result<Response, Pending>)> {
        let direct = self.direct.as_ref()?;
        if uri_length(request.uri()) > MAX_URI {
            return None;
        }
        let answered = catch_unwind(AssertUnwindSafe(|| direct.answer(request, now)));
        answered.unwrap_or_else(|_panic| Some((Route::Unmatched, Ok(panicked()))))
    }

    /// The router's response, and its route.
    async fn route<B>(&self, request: Request<B>) -> (Response, Route) {
        let mut response = self.routed(request).await;
        let route = response.extensions_mut().remove();
        (response, route.unwrap_or(Route::Unmatched))
    }

    async fn routed<B>(&self, request: Request<B>) -> Response {
        let length = uri_length(request.uri());
        if length > MAX_URI {
            let limit = format!(
                "the URL is too long: expected at most {MAX_URI} bytes of path and query, not {length}"
            );
            return Problem::new(StatusCode::URI_TOO_LONG, limit).into_response();
        }
        // The routes that accept a body find it among the extensions.
        let handled = self.router.clone().call(request.map(|_| Body::empty()));
        let response = caught(handled.map(|Ok(response)| response)).await;
        match response.status() {
            StatusCode::NOT_FOUND if is_bare(&response) => {
                Problem::new(StatusCode::NOT_FOUND, "no such endpoint; see /docs").into_response()
            }
            StatusCode::METHOD_NOT_ALLOWED if is_bare(&response) => not_allowed(response),
            _ => response,
        }
    }
}

/// The length of path and query, in bytes.
fn uri_length(uri: &Uri) -> usize {
    uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// The handler's response; if the handler panics, a response with status 500.
async fn caught(handled: impl Future<Output = Response>) -> Response {
    let caught = AssertUnwindSafe(handled).catch_unwind().await;
    caught.unwrap_or_else(|_panic| panicked())
}

fn panicked() -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
        .with_cause(Cause::Panicked)
        .into_response()
}

/// Whether the router itself created the response, without a body.
fn is_bare(response: &Response) -> bool {
    !response.headers().contains_key(header::CONTENT_TYPE)
}

fn not_allowed(mut bare: Response) -> Response {
    let mut response = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method not allowed; see the Allow header",
    )
    .into_response();
    if let Some(allow) = bare.headers_mut().remove(header::ALLOW) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    if let Some(route) = bare.extensions_mut().remove::<Route>() {
        response.extensions_mut().insert(route);
    }
    response
}

impl Handler for Edge {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, client: Client) -> Response {
        if request.body().is_end_stream() && request.method() != Method::POST {
            let response = self.answer(request.map(|_| ()), client.peer()).await;
            return self.finish(response, true, client);
        }
        // Boxed, so that the future of other requests stays small.
        Box::pin(self.handle_with_body(request, client)).await
    }

    fn admit(&self, peer: IpAddr) -> Result<Option<Connected>, Rejection> {
        let Some(rate_limit) = &self.rate_limit else {
            return Ok(None);
        };
        rate_limit.connection(peer).map_err(|_| {
            self.metrics.rejected(Rejection::TooManyConnections);
            Rejection::TooManyConnections
        })
    }

    fn connections(&self) -> Option<&prometheus_client::metrics::gauge::Gauge> {
        Some(&self.metrics.connections)
    }

    fn evicted(&self) {
        self.metrics.evicted.inc();
    }

    fn full(&self) {
        self.metrics.rejected(Rejection::ConnectionLimitReached);
    }
}

/// Returns `false` if the body is too long or too slow. The connection is then unusable, because a part of the body is
/// unread. If `kept` is set, it receives the body, up to one byte more than the maximum.
async fn read_to_its_end(mut body: Incoming, mut kept: Option<&mut Vec<u8>>) -> bool {
    if body.is_end_stream() {
        return true;
    }
    let read = async {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            let data = frame.data_ref().map_or(&[][..], |data| data);
            length += data.len();
            if let Some(kept) = &mut kept
                && kept.len() <= session::MAX_BYTES
            {
                let room = session::MAX_BYTES + 1 - kept.len();
                kept.extend_from_slice(&data[..data.len().min(room)]);
            }
            if length > MAX_BODY {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(BODY_TIMEOUT, read)
        .await
        .unwrap_or(false)
}

struct InFlightGuard<'a>(&'a HttpMetrics);

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// Request ids: they match a client's report with our log lines.
struct RequestIds {
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(fastrand::u64(..)),
        }
    }
}

impl RequestIds {
    /// The client's own id if it is valid, otherwise a new one.
    fn of<B>(&self, request: &Request<B>) -> HeaderValue {
        match request.headers().get(X_REQUEST_ID) {
            Some(id) if is_plain(id.as_bytes()) => id.clone(),
            _ => self.new_id(),
        }
    }

    fn new_id(&self) -> HeaderValue {
        let id = hexadecimal(self.next.fetch_add(1, Relaxed));
        HeaderValue::from_bytes(&id).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(plain)
}
