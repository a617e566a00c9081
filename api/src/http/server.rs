//! The accept loop, on hyper itself: axum's `serve` has no header timeout, no idle timeout and no hook for draining.

mod connection_limit;
mod lingering;
mod rejected_connections;
mod timeouts;

use super::{phase::Phase, rejection::Rejection};
use crate::rate_limit::Connected;
use axum::response::Response;
use connection_limit::{Admission, ConnectionLimit, LimitReached};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::metrics::gauge::Gauge;
use rejected_connections::RejectedConnections;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};
use timeouts::{ConnectionState, TimeoutStream, Wait};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Maximum connections that wait to be accepted.
const BACKLOG: u32 = 4096;
/// Maximum size of a request's head, in bytes: the longest path and query, and as much for the rest. hyper's default
/// limit of 100 header lines is kept, because setting a limit costs a further allocation for each request.
const HEAD_BYTES: usize = 16 * 1024;
/// Pause after the system refused to accept a connection, mostly because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Handles the requests of one port.
pub trait Handler: Send + Sync + 'static {
    /// The response to one request.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
    ) -> impl Future<Output = Response> + Send + 'static;

    /// Admits a connection; the returned value is kept while the connection is open.
    ///
    /// # Errors
    /// The connection is not admitted. Its first request gets the rejection as the response, and the connection is closed.
    fn admit(&self, _peer: IpAddr) -> Result<Option<Connected>, Rejection> {
        Ok(None)
    }

    /// The gauge of open connections.
    fn connections(&self) -> Option<&Gauge> {
        None
    }

    /// A connection was requested to close, because its client kept it waiting and a new connection needs its permit.
    fn evicted(&self) {}

    /// A connection was rejected because the limit was reached.
    fn full(&self) {}
}

/// Limits of a port.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of open connections.
    pub connections: u32,
    /// Age after which a connection is closed with its next response.
    pub connection_max_age: Duration,
}

/// The connection that a request arrived on.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    peer: IpAddr,
    old_from: Instant,
}

impl Client {
    /// A connection from this address, which counts as old from `old_from` on.
    #[must_use]
    pub fn new(peer: IpAddr, old_from: Instant) -> Self {
        Self { peer, old_from }
    }

    /// The peer's address; an IPv4 address is never written as an IPv6 address.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether the connection has reached its maximum age; its client should reconnect.
    #[must_use]
    pub fn is_old(&self) -> bool {
        Instant::now() >= self.old_from
    }
}

/// Opens a port. `[::]` listens on every IPv4 address too.
///
/// # Errors
/// The address is in use, or does not belong to this machine.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut address = address;
    // A kernel without IPv6 creates no IPv6 sockets; listen on every IPv4 address instead.
    if address.ip() == Ipv6Addr::UNSPECIFIED && TcpSocket::new_v6().is_err() {
        address.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a port until the process is stopping and the requests in flight are answered.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    handler: Arc<H>,
    limits: Limits,
    phase: watch::Receiver<Phase>,
) {
    let connections = TaskTracker::new();
    let mut refused = RejectedConnections::new(http1());
    let mut limit = ConnectionLimit::new(limits.connections as usize);
    let mut stop = phase.clone();
    let mut stopping = pin!(stop.wait_for(|phase| *phase == Phase::Stopping));
    loop {
        let accepted = tokio::select! {
            _ = &mut stopping => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = address.ip().to_canonical();
                let max_age = limits
                    .connection_max_age
                    .mul_f64(0.9 + 0.2 * fastrand::f64());
                let client = Client::new(peer, Instant::now() + max_age);
                match admit(&*handler, &mut limit, peer) {
                    Ok(admitted) => {
                        let handler = Arc::clone(&handler);
                        let phase = phase.clone();
                        connections.spawn(connection(stream, handler, client, admitted, phase));
                    }
                    Err(rejection) => {
                        refused.answer(stream, rejection, &connections);
                    }
                }
            }
            Err(error) => {
                warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// An admitted connection.
struct Admitted {
    state: Arc<ConnectionState>,
    entry: Admission,
    counted: Option<Connected>,
}

fn admit<H: Handler>(
    handler: &H,
    limit: &mut ConnectionLimit,
    peer: IpAddr,
) -> Result<Admitted, Rejection> {
    let counted = handler.admit(peer)?;
    let state = Arc::new(ConnectionState::new());
    let entry = limit.enter(&state).map_err(|LimitReached| {
        handler.full();
        Rejection::ConnectionLimitReached
    })?;
    if matches!(entry, Admission::Next(_)) {
        handler.evicted();
    }
    Ok(Admitted {
        state,
        entry,
        counted,
    })
}

/// HTTP/1.1 with our limits.
#[must_use]
pub fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    builder
}

async fn connection<H: Handler>(
    stream: TcpStream,
    handler: Arc<H>,
    client: Client,
    admitted: Admitted,
    mut phase: watch::Receiver<Phase>,
) {
    let Admitted {
        state,
        entry,
        counted: _counted,
    } = admitted;
    let Some(_place) = entry.taken(&state).await else {
        return;
    };
    stream.set_nodelay(true).ok();
    let _open = handler.connections().map(Open::count);
    let service = service_fn(|request| {
        let answer = Arc::clone(&handler).handle(request, client);
        let state = Arc::clone(&state);
        // Boxed, because hyper reserves memory for this future while the connection is open.
        Box::pin(async move {
            state.request_began();
            let response = answer.await;
            state.request_ended();
            Ok::<_, Infallible>(response)
        })
    });
    let io = TokioIo::new(TimeoutStream::new(stream, Arc::clone(&state)));
    let mut connection = http1().serve_connection(io, service);
    let ended = tokio::select! {
        ended = lingering::served(&mut connection) => ended,
        () = state.closing() => {
            if state.wait().is_some_and(Wait::is_long) {
                return;
            }
            // A request has arrived in the meantime.
            Pin::new(&mut connection).graceful_shutdown();
            lingering::served(&mut connection).await
        }
        () = stopping(&mut phase) => {
            Pin::new(&mut connection).graceful_shutdown();
            lingering::served(&mut connection).await
        }
    };
    if let Err(error) = &ended {
        debug!(%error, "a client's connection ended early");
    }
    // If a head cannot be parsed, hyper itself responds, and has written the response by then.
    if ended.as_ref().err().is_none_or(hyper::Error::is_parse) {
        tokio::select! {
            () = lingering::close(connection) => {}
            () = state.closing() => {}
            () = stopping(&mut phase) => {}
        }
    }
}

async fn stopping(phase: &mut watch::Receiver<Phase>) {
    // The guard of the watched value is a lock, which must not be held across an await.
    let stopping = phase.wait_for(|phase| *phase == Phase::Stopping).await;
    drop(stopping);
}

/// Counts a connection while it is open.
struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    fn count(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::listen;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_port_of_all_addresses_accepts_ipv4_clients_with_their_own_address() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_canonical(), client.local_addr().unwrap().ip());
    }
}
