//! Peers of the monitor that are no processes of Reckon.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

/// What a peer does to a client.
#[derive(Clone, Copy, Debug)]
pub enum Conduct {
    /// Accepts the request and sends nothing.
    Silent,
    /// Sends metrics without an end, as fast as they are taken.
    Endless,
    /// Sends a line without an end.
    EndlessLine,
    /// Sends headers without an end.
    EndlessHead,
    /// Sends bytes that are no HTTP.
    Garbage,
    /// Sends bytes that are no metrics.
    GarbageBody,
    /// Sends the metrics of another program.
    Foreign,
    /// Closes the connection in the middle of the metrics.
    Truncated,
    /// Has no metrics.
    NotFound,
}

impl Conduct {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Silent,
        Self::Endless,
        Self::EndlessLine,
        Self::EndlessHead,
        Self::Garbage,
        Self::GarbageBody,
        Self::Foreign,
        Self::Truncated,
        Self::NotFound,
    ];

    /// The errors that the monitor may report.
    pub fn errors(self) -> &'static [&'static str] {
        match self {
            Self::Silent => &["no answer within 1 s"],
            // On a slow machine, time runs out first.
            Self::Endless => &["the answer is larger than 4 MiB", "no answer within 1 s"],
            Self::EndlessLine => &["line 1 of the answer is longer than 8 KiB"],
            Self::EndlessHead | Self::Garbage => &["no HTTP answer"],
            Self::GarbageBody => &["line 1 of the answer is not in the format of metrics"],
            Self::Foreign => &["the answer has no metrics of Reckon"],
            Self::Truncated => &["the answer ends without # EOF"],
            Self::NotFound => &["HTTP 404, not an operations port"],
        }
    }
}

/// Listens until it is dropped.
pub struct Peer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    conduct: Conduct,
    stopped: AtomicBool,
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Peer {
    /// A peer on a free port of this machine.
    pub fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            conduct,
            stopped: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.accept(&listener))
        };
        Self {
            address,
            shared,
            accepting: Some(accepting),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The most clients that it had at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            if self.stopped.load(SeqCst) {
                return;
            }
            let (shared, client) = (Arc::clone(self), client.unwrap());
            thread::spawn(move || {
                // A client that hangs up is no surprise.
                let _ = shared.serve(client);
            });
        }
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        // Until its request is read, the client before may not have been seen to go.
        client.read_exact(&mut [0; 5])?;
        let open = self.open.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(open, SeqCst);
        let met = self.answer(&mut client);
        self.open.fetch_sub(1, SeqCst);
        met
    }

    fn answer(&self, client: &mut TcpStream) -> io::Result<()> {
        let ok = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        match self.conduct {
            Conduct::Silent => {}
            Conduct::Endless => {
                client.write_all(ok.as_bytes())?;
                for number in 0_u64.. {
                    let line = format!("reckon_http_requests_total{{x=\"{number}\"}} 1\n");
                    client.write_all(line.repeat(1000).as_bytes())?;
                }
            }
            Conduct::EndlessLine => {
                client.write_all(ok.as_bytes())?;
                loop {
                    client.write_all(&[b'a'; 4096])?;
                }
            }
            Conduct::EndlessHead => {
                client.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    client.write_all(b"x-more: of the same\r\n")?;
                }
            }
            Conduct::Garbage => client.write_all(b"\x00\xff\x1b[2J not HTTP\r\n\r\n")?,
            Conduct::GarbageBody => {
                client.write_all(&[ok.as_bytes(), b"\x1b[2J\xff\n"].concat())?;
            }
            Conduct::Foreign => write!(client, "{ok}up 1\n# EOF\n")?,
            Conduct::Truncated => writeln!(client, "{ok}reckon_store_up 1")?,
            Conduct::NotFound => write!(
                client,
                "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
            )?,
        }
        if !matches!(self.conduct, Conduct::Silent) {
            client.shutdown(std::net::Shutdown::Write)?;
        }
        io::copy(client, &mut io::sink()).map(drop)
    }
}
