//! A TCP balancer like a Kubernetes Service: it chooses a ready backend for each new connection. It does not inspect
//! connections, and does not close a connection when its backend is no longer ready.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::client::Client;

/// Time between two requests to each backend's `/readyz`.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// A backend that takes longer to answer `/readyz` counts as not ready.
const CHECK: Duration = Duration::from_secs(1);

/// The addresses of a backend: for clients, and for its readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The address that gets the connections.
    pub serve: SocketAddr,
    /// The address with `/readyz`.
    pub ops: SocketAddr,
}

/// Listens until it is dropped.
pub struct Balancer {
    address: SocketAddr,
    members: Members,
    _accepting: JoinSet<()>,
}

type Members = Arc<Mutex<Vec<Member>>>;

struct Member {
    backend: Backend,
    ready: bool,
    connections: usize,
    _checking: JoinSet<()>,
}

impl Balancer {
    /// Starts without backends.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let members = Members::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, members.clone()));
        Self {
            address,
            members,
            _accepting: accepting,
        }
    }

    /// Adds a backend, which gets connections as soon as it is ready.
    pub fn add(&self, backend: Backend) {
        let mut checking = JoinSet::new();
        checking.spawn(check(backend, self.members.clone()));
        self.members.lock().unwrap().push(Member {
            backend,
            ready: false,
            connections: 0,
            _checking: checking,
        });
    }

    /// How many backends are ready.
    pub fn ready(&self) -> usize {
        let members = self.members.lock().unwrap();
        members.iter().filter(|member| member.ready).count()
    }

    /// How many connections each backend was given so far, in the order they were added.
    pub fn connections(&self) -> Vec<usize> {
        let members = self.members.lock().unwrap();
        members.iter().map(|member| member.connections).collect()
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, members: Members) {
    for turn in 0.. {
        let (client, _) = listener.accept().await.unwrap();
        // No backend is ready. The connection is closed at once, which is a failed request for the client.
        if let Some(backend) = choose(&members, turn) {
            // A separate task that is not ended here, because a connection stays open when its backend is no longer
            // ready.
            tokio::spawn(join(client, backend));
        }
    }
}

fn choose(members: &Members, turn: usize) -> Option<SocketAddr> {
    let mut members = members.lock().unwrap();
    let mut ready: Vec<_> = members.iter_mut().filter(|member| member.ready).collect();
    let chosen = turn.checked_rem(ready.len())?;
    ready[chosen].connections += 1;
    Some(ready[chosen].backend.serve)
}

async fn join(mut client: TcpStream, backend: SocketAddr) {
    if let Ok(mut server) = TcpStream::connect(backend).await {
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        // A reset on one side also ends the other side, which is dropped here.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

async fn check(backend: Backend, members: Members) {
    let ops = Client::without_keep_alive(format!("http://{}", backend.ops)).with_timeout(CHECK);
    let mut interval = tokio::time::interval(CHECK_EVERY);
    loop {
        interval.tick().await;
        let answer = ops.send(Method::GET, "/readyz", "").await;
        let ready = answer.is_ok_and(|answer| answer.status == 200);
        let mut members = members.lock().unwrap();
        for member in members
            .iter_mut()
            .filter(|member| member.backend == backend)
        {
            member.ready = ready;
        }
    }
}
