//! A TCP proxy that can be slow, silent or unreachable, and can change its target.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How the proxy treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards bytes this much later; half of the delay in each direction.
    Late(Duration),
    /// Accepts connections and forwards nothing, until the mode changes.
    Silent,
    /// Closes connections, old and new.
    Closed,
}

/// Forwards everything at once.
pub const PROMPT: Mode = Mode::Late(Duration::ZERO);

/// Listens until it is dropped.
pub struct TcpProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    target: watch::Sender<SocketAddr>,
    era: Arc<AtomicU64>,
    lost: Arc<AtomicUsize>,
    _accepting: JoinSet<()>,
}

impl TcpProxy {
    /// Creates a proxy for a port of this machine.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, _) = watch::channel(PROMPT);
        let (target, _) = watch::channel(([127, 0, 0, 1], port).into());
        let era = Arc::new(AtomicU64::new(0));
        let lost = Arc::new(AtomicUsize::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(
            listener,
            mode.clone(),
            target.clone(),
            Arc::clone(&era),
            Arc::clone(&lost),
        ));
        Self {
            address,
            mode,
            target,
            era,
            lost,
            _accepting: accepting,
        }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Sets the mode from now on.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Open connections stay open for their clients but are no longer forwarded, as when a machine vanishes.
    pub fn lose_connections(&self) {
        self.era.fetch_add(1, SeqCst);
    }

    /// The first `count` connections since the start stay open for their clients but are no longer forwarded.
    pub fn lose_first(&self, count: usize) {
        self.lost.store(count, SeqCst);
    }

    /// Sends new connections to this port; open ones keep their target.
    pub fn turn_to(&self, port: u16) {
        self.target.send_replace(([127, 0, 0, 1], port).into());
    }
}

async fn accept(
    listener: TcpListener,
    mode: watch::Sender<Mode>,
    target: watch::Sender<SocketAddr>,
    era: Arc<AtomicU64>,
    lost: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let (client, _) = listener.accept().await.unwrap();
        let of_now = era.load(SeqCst);
        let (current, lost) = (Arc::clone(&era), Arc::clone(&lost));
        let is_lost = move || current.load(SeqCst) != of_now || number < lost.load(SeqCst);
        let target = *target.borrow();
        connections.spawn(connect(client, mode.subscribe(), target, is_lost));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(
    client: TcpStream,
    mut mode: watch::Receiver<Mode>,
    target: SocketAddr,
    is_lost: impl Fn() -> bool,
) {
    let closed = {
        let mut mode = mode.clone();
        async move {
            // An error means that the proxy is gone.
            mode.wait_for(|mode| *mode == Mode::Closed).await.ok();
        }
    };
    let joined = async {
        if mode.wait_for(|mode| *mode != Mode::Silent).await.is_err() {
            return;
        }
        // No listener at the target: closed, as by a balancer without a backend.
        let Ok(server) = TcpStream::connect(target).await else {
            return;
        };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = pass(from_client, to_server, mode.clone(), &is_lost) => {}
            () = pass(from_server, to_client, mode.clone(), &is_lost) => {}
        }
    };
    tokio::select! { () = closed => {} () = joined => {} }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    is_lost: &impl Fn() -> bool,
) {
    let (queue, mut queued) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let writing = async move {
        while let Some((arrived, bytes)) = queued.recv().await {
            let settled = mode.wait_for(|mode| *mode != Mode::Silent).await;
            let Ok(settled) = settled.map(|mode| *mode) else {
                return;
            };
            if let Mode::Late(delay) = settled {
                sleep_until(arrived + delay / 2).await;
            }
            if is_lost() {
                continue;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let reading = async move {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if queue
                .send((Instant::now(), buffer[..length].to_vec()))
                .is_err()
            {
                return;
            }
        }
    };
    tokio::join!(writing, reading);
}
