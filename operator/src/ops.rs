//! The operations port: probes and metrics.

use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::supervise::{Pulse, STALLED_AFTER};
use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use reckon_contract::network;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpSocket};

/// What the operations port serves.
#[derive(Clone)]
pub struct Operations {
    /// The operator's metrics.
    pub metrics: Arc<Metrics>,
    /// Whether this operator leads.
    pub leadership: Leadership,
    /// Number of scopes that were not listed yet. When none is left, the operator is ready. A standby is ready too,
    /// because it can become the leader.
    pub unlisted: Arc<AtomicUsize>,
    /// Heartbeats of the controllers. If a controller is stuck, the process must be restarted.
    pub pulses: Vec<Pulse>,
}

/// Opens the port. `[::]` includes every IPv4 address.
///
/// # Errors
/// The address is in use, or is not an address of this machine.
pub async fn listen(mut address: SocketAddr) -> std::io::Result<TcpListener> {
    // A kernel without IPv6 creates no such sockets, so "every address" means every IPv4 address.
    if address.ip() == Ipv6Addr::UNSPECIFIED && TcpSocket::new_v6().is_err() {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    TcpListener::bind(address).await
}

/// Serves for the lifetime of the process.
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
        pulses,
    } = operations;
    let is_alive = move || async move {
        if pulses.iter().any(Pulse::is_old) {
            let seconds = STALLED_AFTER.as_secs();
            let why = format!("not alive: a controller has not run for {seconds} s\n");
            (StatusCode::SERVICE_UNAVAILABLE, why)
        } else {
            (StatusCode::OK, "alive\n".to_owned())
        }
    };
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
            metrics.text(leadership.since()),
        )
    };
    Router::new()
        .route(network::LIVEZ, get(is_alive))
        .route(network::READYZ, get(is_ready))
        .route(network::METRICS, get(scrape))
}

#[cfg(test)]
mod tests {
    use super::{Operations, router};
    use crate::lease::Leadership;
    use crate::metrics::Metrics;
    use crate::supervise::{Pulse, STALLED_AFTER};
    use axum::body::Body;
    use http::Request;
    use reckon_contract::network;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;
    use tokio::time::advance;
    use tower::ServiceExt as _;

    #[tokio::test(start_paused = true)]
    async fn the_process_is_not_alive_when_a_controller_is_stuck() {
        let operations = Operations {
            metrics: Arc::new(Metrics::new("lease")),
            leadership: Leadership::nobodys(),
            unlisted: Arc::new(AtomicUsize::new(0)),
            pulses: vec![Pulse::new()],
        };
        let livez = async || {
            let request = Request::get(network::LIVEZ).body(Body::empty()).unwrap();
            let answer = router(operations.clone()).oneshot(request).await;
            answer.unwrap().status().as_u16()
        };
        advance(STALLED_AFTER).await;
        assert_eq!(livez().await, 200);
        advance(Duration::from_secs(1)).await;
        assert_eq!(livez().await, 503);
    }
}
