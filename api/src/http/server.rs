//! The accept loop, on hyper itself: axum's `serve` has neither a header nor an idle timeout nor a hook for draining.

mod connection_limit;
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

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// Bytes of a request's head: the longest path and query, and as much again for the rest. hyper's limit of 100 header lines
/// stays: one that is set is one more allocation for each request.
const HEAD_BYTES: usize = 16 * 1024;
/// Pause after the system refused a connection, for want of file descriptors mostly.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Answers requests of one port.
pub trait Handler: Send + Sync + 'static {
    /// The answer to one request.
    fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: Client,
    ) -> impl Future<Output = Response> + Send + 'static;

    /// Lets a connection in; what comes with it is kept for as long as it is open.
    ///
    /// # Errors
    /// Its first request is answered with the rejection, and it is closed.
    fn admit(&self, _peer: IpAddr) -> Result<Option<Connected>, Rejection> {
        Ok(None)
    }

    /// Where open connections are counted.
    fn connections(&self) -> Option<&Gauge> {
        None
    }

    /// A connection was asked to end, since its client kept it waiting and another needs the place.
    fn evicted(&self) {}

    /// A connection found no place.
    fn full(&self) {}
}

/// What a port takes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections that are open at once.
    pub connections: u32,
    /// Age after which a connection is closed with its next answer.
    pub connection_max_age: Duration,
}

/// The connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    peer: IpAddr,
    old_from: Instant,
}

impl Client {
    /// One at this address, whose connection is old from this moment on.
    #[must_use]
    pub fn new(peer: IpAddr, old_from: Instant) -> Self {
        Self { peer, old_from }
    }

    /// The address at the other end; one of IPv4 is never written as one of IPv6.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether the connection has been open for long enough; its client should come back on a new one.
    #[must_use]
    pub fn is_old(&self) -> bool {
        Instant::now() >= self.old_from
    }
}

/// Opens a port. `[::]` is every address of IPv4 too.
///
/// # Errors
/// The address is taken, or not ours.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let mut address = address;
    // A kernel without IPv6 makes no such sockets, and every address is every address of IPv4.
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

/// Serves a port until the process is stopping and the requests under way are answered.
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

/// A connection that is let in.
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
        // In a box of its own: hyper has room for what is here for as long as the connection is open.
        Box::pin(async move {
            state.request_began();
            let response = answer.await;
            state.request_ended();
            Ok::<_, Infallible>(response)
        })
    });
    let io = TokioIo::new(TimeoutStream::new(stream, Arc::clone(&state)));
    let mut connection = pin!(http1().serve_connection(io, service));
    // The watched value is a lock's guard, which must not live across the next wait.
    let stopping = async {
        phase
            .wait_for(|phase| *phase == Phase::Stopping)
            .await
            .is_ok()
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = state.closing() => {
            if state.wait().is_some_and(Wait::is_long) {
                return;
            }
            // A request has come meanwhile.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        _ = stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a client's connection ended early");
    }
}

/// Counts a connection for as long as it is open.
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
    async fn clients_of_ipv4_reach_a_port_of_all_addresses_under_their_own_address() {
        let listener = listen("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (_, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip().to_canonical(), client.local_addr().unwrap().ip());
    }
}
