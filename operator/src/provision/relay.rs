//! Between the driver and a server, so that a server can send no more than honest answers take.
//!
//! Whoever writes a resource chooses its server, and the driver reads packets of any number and length, before the login
//! already. It connects to a socket of this process instead, and verifies the server's certificate as ever.

use super::server::Server;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use std::{io, process};
use tokio::io::{AsyncReadExt as _, copy};
use tokio::net::{TcpStream, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Most bytes of a server in one session. All answers of one together are a few kilobytes.
pub(super) const MOST: u64 = 1 << 20;

/// Longest time for a session: a server that reads nothing keeps nothing for longer.
const LONGEST: Duration = Duration::from_mins(2);

/// Makes the names of sockets different within the process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A connection to a server, which ends when the driver's does.
pub(super) struct Relay {
    path: PathBuf,
    is_flooded: Arc<AtomicBool>,
    passing: JoinHandle<()>,
}

impl Relay {
    /// Connects to a server.
    pub async fn connect(server: &Server) -> io::Result<Self> {
        let remote = TcpStream::connect((server.host.as_str(), server.port)).await?;
        remote.set_nodelay(true)?;
        // An abstract name (it begins with a zero) needs no directory that can be written to.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("\0reckon-operator-{}-{number}", process::id());
        let path = PathBuf::from(OsString::from_vec(name.into_bytes()));
        let listener = UnixListener::bind(&path)?;
        let is_flooded = Arc::new(AtomicBool::new(false));
        // Not ended with the session: the driver's farewell may still be on its way.
        let passing = timeout(LONGEST, pass_on(listener, remote, Arc::clone(&is_flooded)));
        let passing = tokio::spawn(async move {
            passing.await.ok();
        });
        Ok(Self {
            path,
            is_flooded,
            passing,
        })
    }

    /// Where the driver connects to, once.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until everything that the driver sent was passed on, its farewell too.
    pub async fn ended(self) {
        self.passing.await.ok();
    }

    /// Whether the server sent more than [`MOST`], and was cut off.
    pub fn is_flooded(&self) -> bool {
        self.is_flooded.load(Ordering::Relaxed)
    }
}

async fn pass_on(listener: UnixListener, mut remote: TcpStream, is_flooded: Arc<AtomicBool>) {
    let Ok((mut driver, _)) = listener.accept().await else {
        return;
    };
    drop(listener);
    let (from_server, mut to_server) = remote.split();
    let (mut from_driver, mut to_driver) = driver.split();
    let mut answers = from_server.take(MOST);
    // Whichever side ends first ends the other.
    tokio::select! {
        _ = copy(&mut answers, &mut to_driver) => {}
        _ = copy(&mut from_driver, &mut to_server) => {}
    }
    is_flooded.store(answers.limit() == 0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::MOST;
    use crate::provision::secret::Secret;
    use crate::provision::server::{Server, Tls};
    use crate::provision::session::Session;
    use std::io::Write as _;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_server_that_sends_without_end_is_cut_off() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let flood = tokio::task::spawn_blocking(move || {
            let (mut connection, _) = listener.accept().unwrap();
            // A packet of 16 MiB, and another, and another.
            let mut packet = vec![0; 4 + 0xff_ffff];
            packet[..3].fill(0xff);
            let mut sent = 0;
            while let Ok(bytes) = connection.write(&packet[sent % packet.len()..]) {
                sent += bytes;
            }
            sent
        });
        let server = Server {
            host: "127.0.0.1".to_owned(),
            port,
            user: "admin".to_owned(),
            password: Secret::new("secret"),
            tls: Tls::Preferred,
            authorities: None,
        };
        let refused = Session::open(&server, "shop").await;
        let error = refused.err().unwrap().error.to_string();
        assert_eq!(
            error,
            format!(
                "failed to read what the database server 127.0.0.1:{port} sends: it sent more than {MOST} bytes"
            )
        );
        let sent = flood.await.unwrap();
        println!("{sent} bytes were taken");
        // Beyond the limit only what the kernel keeps for two sockets.
        assert!(sent < 16 << 20, "{sent} bytes were taken");
    }
}
