//! The operations port: probes and metrics.

use crate::lease::Leadership;
use crate::metrics::Metrics;
use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use reckon_contract::network;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

/// What the port tells.
#[derive(Clone)]
pub struct Operations {
    /// The operator's metrics.
    pub metrics: Arc<Metrics>,
    /// Whether this operator acts.
    pub leadership: Leadership,
    /// Namespaces that were not listed yet; with none left it is ready. A standby is ready too: it could act.
    pub unlisted: Arc<AtomicUsize>,
}

/// Answers for as long as the process lives.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, operations: Operations) -> std::io::Result<()> {
    axum::serve(listener, router(operations)).await
}

fn router(operations: Operations) -> Router {
    let Operations {
        metrics,
        leadership,
        unlisted,
    } = operations;
    let is_ready = move || async move {
        if unlisted.load(Ordering::Relaxed) == 0 {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "not ready: the cluster has not been listed yet\n",
            )
        }
    };
    let scrape = move || async move {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        (
            [(header::CONTENT_TYPE, kind)],
            metrics.text(leadership.is_held()),
        )
    };
    Router::new()
        .route(network::LIVEZ, get(|| async { "alive\n" }))
        .route(network::READYZ, get(is_ready))
        .route(network::METRICS, get(scrape))
}
