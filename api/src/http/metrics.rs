//! What the HTTP API counts.

use super::rejection::Rejection;
use super::route::Route;
use crate::latency::latency;
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram,
};
use prometheus_client::registry::Registry;
use std::sync::OnceLock;

type Label = [(&'static str, &'static str); 1];

/// Requests, by route.
pub struct HttpMetrics {
    /// Requests being answered now.
    pub in_flight: Gauge,
    /// Open connections of clients.
    pub connections: Gauge,
    /// Connections closed to make room for others.
    pub evicted: Counter,
    /// Answers with status 503 or 504.
    pub unavailable: Counter,
    rejections: Family<Label, Counter>,
    requests: Family<RouteStatus, Counter>,
    routes: Vec<RouteMetrics>,
}

type RouteStatus = (Label, [(&'static str, u16); 1]);

/// Handles of one route, looked up once.
struct RouteMetrics {
    seconds: Histogram,
    by_status: Box<[OnceLock<Counter>]>,
}

const STATUSES: std::ops::Range<u16> = 100..600;

impl HttpMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let seconds = Family::<Label, Histogram>::new_with_constructor(|| latency(0.000_05));
        let requests = Family::default();
        let in_flight = Gauge::default();
        let connections = Gauge::default();
        let evicted = Counter::default();
        let rejections = Family::<Label, Counter>::default();
        for reason in Rejection::LABELS {
            drop(rejections.get_or_create(&[("reason", reason)]));
        }
        registry.register(
            "http_rejections",
            "Requests refused for want of a key (no_key, wrong_key, no_keys_set, not_direct) or by a rate limit (requests), \
             and connections refused by their client's limit (connections) or the limit of all (room)",
            rejections.clone(),
        );
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            requests.clone(),
        );
        registry.register(
            "http_request_duration_seconds",
            "Time from the request's head to the finished answer",
            seconds.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests being answered",
            in_flight.clone(),
        );
        registry.register(
            "http_connections",
            "Open connections of clients",
            connections.clone(),
        );
        registry.register(
            "http_connections_evicted",
            "Connections closed to make room for others, since their clients kept them waiting",
            evicted.clone(),
        );
        let routes = Route::ALL.iter().map(|route| RouteMetrics {
            seconds: seconds.get_or_create_owned(&[("route", route.template())]),
            by_status: STATUSES.map(|_| OnceLock::new()).collect(),
        });
        Self {
            in_flight,
            connections,
            evicted,
            unavailable: Counter::default(),
            rejections,
            requests,
            routes: routes.collect(),
        }
    }

    /// One request or connection turned away.
    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.rejections
            .get_or_create(&[("reason", rejection.label())])
            .inc();
    }

    /// One answered request.
    pub(crate) fn answered(&self, route: Route, status: http::StatusCode, seconds: f64) {
        let metrics = &self.routes[route as usize];
        metrics.seconds.observe(seconds);
        if matches!(status.as_u16(), 503 | 504) {
            self.unavailable.inc();
        }
        let index = usize::from(status.as_u16().saturating_sub(STATUSES.start));
        let labels = || ([("route", route.template())], [("code", status.as_u16())]);
        if let Some(counter) = metrics.by_status.get(index) {
            counter
                .get_or_init(|| self.requests.get_or_create_owned(&labels()))
                .inc();
        }
    }
}
