//! The metrics of the HTTP API.

use super::method::MethodName;
use super::rejection::Rejection;
use super::route::Route;
use crate::latency::latency;
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use reckon_contract::tuning::Server;
use reckon_metrics::Register as _;
use std::sync::OnceLock;

type Label = [(&'static str, &'static str); 1];
type Labels = ([(&'static str, &'static str); 2], [(&'static str, u16); 1]);

const METHODS: usize = MethodName::LABELS.len();
const STATUSES: std::ops::Range<u16> = 100..600;

/// Requests and connections.
pub struct HttpMetrics {
    /// Requests that are being handled.
    pub in_flight: Gauge,
    /// Open connections of clients.
    pub connections: Gauge,
    /// Connections closed in favour of new ones.
    pub evicted: Counter,
    /// Responses with status 503 or 504.
    pub unavailable: Counter,
    rejections: [Counter; Rejection::LABELS.len()],
    requests: Family<Labels, Counter>,
    routes: Vec<RouteMetrics>,
}

/// Metric handles of one route, looked up once.
struct RouteMetrics {
    seconds: Histogram,
    /// Counters by method and by status. Each is created when it is first needed.
    requests: [OnceLock<Box<[OnceLock<Counter>]>>; METHODS],
}

impl HttpMetrics {
    pub(crate) fn new(registry: &mut Registry, tuning: &Server) -> Self {
        let limit = |limit: u32| {
            let gauge = Gauge::<i64>::default();
            gauge.set(limit.into());
            gauge
        };
        registry.register(
            "http_requests_in_flight_limit",
            "Requests that may be in flight at the same time; one more is answered 503",
            limit(tuning.max_requests_in_flight),
        );
        registry.register(
            "http_connections_limit",
            "Client connections that may be open at the same time",
            limit(tuning.most_connections()),
        );
        let seconds = registry.add(
            "http_request_duration_seconds",
            "Time from the head of a request to its response, in seconds",
            Family::<Label, Histogram>::new_with_constructor(|| latency(0.000_05)),
        );
        Self {
            in_flight: registry.add(
                "http_requests_in_flight",
                "Requests that are being handled",
                Gauge::default(),
            ),
            connections: registry.add(
                "http_connections",
                "Open client connections",
                Gauge::default(),
            ),
            evicted: registry.add(
                "http_connections_evicted",
                "Client connections that were waiting for their client and were closed to accept new ones at the limit",
                Counter::default(),
            ),
            unavailable: Counter::default(),
            rejections: registry.add_labelled(
                "http_rejections",
                "Requests and connections rejected before they were handled: the API key is missing (no_key) or invalid \
                 (wrong_key), no key is configured (no_keys_set) or the request came through a proxy or from a web page \
                 (not_direct); the client exceeded its rate limit (rate_limit) or its connection limit \
                 (client_connections); the limit of all connections (connections) or of requests in flight (in_flight) \
                 was reached",
                "reason",
                Rejection::LABELS,
            ),
            requests: registry.add(
                "http_requests",
                "Requests answered, by route, method and status",
                Family::default(),
            ),
            routes: Route::ALL
                .iter()
                .map(|route| RouteMetrics {
                    seconds: seconds.get_or_create_owned(&[("route", route.template())]),
                    requests: std::array::from_fn(|_| OnceLock::new()),
                })
                .collect(),
        }
    }

    /// One request or connection was rejected.
    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.rejections[rejection.index()].inc();
    }

    /// One request was answered.
    pub(crate) fn answered(
        &self,
        (route, method): (Route, MethodName),
        status: http::StatusCode,
        seconds: f64,
    ) {
        let metrics = &self.routes[route as usize];
        metrics.seconds.observe(seconds);
        if matches!(status.as_u16(), 503 | 504) {
            self.unavailable.inc();
        }
        let by_status = metrics.requests[method as usize]
            .get_or_init(|| STATUSES.map(|_| OnceLock::new()).collect());
        let index = usize::from(status.as_u16().saturating_sub(STATUSES.start));
        if let Some(counter) = by_status.get(index) {
            counter
                .get_or_init(|| {
                    let names = [("route", route.template()), ("method", method.label())];
                    let labels = (names, [("code", status.as_u16())]);
                    self.requests.get_or_create_owned(&labels)
                })
                .inc();
        }
    }
}
