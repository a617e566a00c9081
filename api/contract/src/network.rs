//! The ports of the API, and the paths that other programs request.

/// Port of the HTTP API.
pub const HTTP_PORT: u16 = 8000;
/// Port of the operations endpoints: probes and metrics.
pub const OPS_PORT: u16 = 9464;

/// The listen address of a container: this port on all addresses. IPv4 too, and IPv4 only if the kernel has no IPv6.
#[must_use]
pub fn everywhere(port: u16) -> String {
    format!("[::]:{port}")
}

/// Liveness probe on the operations port: 200 as long as the process runs its event loop.
pub const LIVEZ: &str = "/livez";
/// Readiness probe on the operations port: 200 from the store's first success until SIGTERM, otherwise 503.
pub const READYZ: &str = "/readyz";
/// Prometheus metrics on the operations port.
pub const METRICS: &str = "/metrics";
/// Health for humans and for the operator, on the API's port; never a probe.
pub const HEALTH: &str = "/health";
