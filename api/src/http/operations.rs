//! The operations port: probes and metrics, apart from the API so that neither can crowd out the other.

use super::server::{Client, Handler};
use super::{App, Phase, Readiness};
use axum::response::{IntoResponse, Response};
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use reckon_contract::network;
use std::sync::Arc;

/// The media type of Prometheus's text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers probes and scrapes.
pub struct Operations {
    /// What there is to tell.
    pub app: Arc<App>,
    /// Whether the process should get traffic.
    pub readiness: Readiness,
}

impl Operations {
    fn answer(&self, method: &Method, path: &str) -> Response {
        if method != Method::GET && method != Method::HEAD {
            return (
                StatusCode::METHOD_NOT_ALLOWED,
                [(header::ALLOW, "GET, HEAD")],
            )
                .into_response();
        }
        match path {
            network::LIVEZ => "alive\n".into_response(),
            network::READYZ => self.ready(),
            network::METRICS => {
                ([(header::CONTENT_TYPE, OPENMETRICS)], self.metrics()).into_response()
            }
            _ => (
                StatusCode::NOT_FOUND,
                format!(
                    "{}\n{}\n{}\n",
                    network::LIVEZ,
                    network::READYZ,
                    network::METRICS
                ),
            )
                .into_response(),
        }
    }

    fn ready(&self) -> Response {
        let not = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
        if *self.readiness.phase.borrow() != Phase::Serving {
            not("not ready: shutting down\n")
        } else if *self.readiness.store_seen.borrow() {
            "ready\n".into_response()
        } else {
            not("not ready: the store has not answered yet\n")
        }
    }

    fn metrics(&self) -> String {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let memory = self.app.recommender.memory();
        self.app.metrics.cache.entries.set(gauge(memory.len()));
        self.app.metrics.cache.bytes.set(gauge(memory.bytes()));
        self.app.metrics.text()
    }
}

impl Handler for Operations {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Client) -> Response {
        self.answer(request.method(), request.uri().path())
    }
}
