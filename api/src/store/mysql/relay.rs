//! A relay between the driver and the server's socket; it ends a session in which the server sends disallowed data.
//!
//! The driver trusts a server before authentication: it accepts packets of any length, panics on short ones, and sends
//! the password in clear text when the greeting requests it. The driver does not accept an open socket, but it accepts
//! a path. So the driver gets a Unix socket, and the relay checks the bytes that pass through it. The relay has no
//! task: it works only while a call of the driver is in progress.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixListener, UnixStream};

/// Maximum bytes of an answer that is not a history, and of a login together with its certificates.
pub const SHORT: usize = 256 << 10;
/// Maximum length of a greeting, in bytes: servers send about 100.
const MAX_GREETING_BYTES: usize = 1024;
/// Maximum bytes that are forwarded at once.
const CHUNK: usize = 16 << 10;

/// Why a session was ended.
#[derive(Clone, Debug, thiserror::Error)]
enum RelayError {
    #[error("the server sent more than {0} bytes in answer to one statement or login")]
    TooLong(usize),
    #[error("the server's first packet is not a greeting of the MySQL protocol")]
    NoGreeting,
    #[error(
        "the server asks for the password in clear text (mysql_clear_password), which needs a verified certificate: \
         set DB_TLS to verify-ca or verify-full"
    )]
    ClearPassword,
}

impl From<RelayError> for sqlx::Error {
    fn from(refusal: RelayError) -> Self {
        match refusal {
            RelayError::ClearPassword => Self::Tls(refusal.into()),
            RelayError::TooLong(_) | RelayError::NoGreeting => Self::Protocol(refusal.to_string()),
        }
    }
}

/// A server, and which authentication it may request.
#[derive(Clone, Debug)]
pub struct Server {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the server is verified by its certificate before the driver authenticates.
    pub is_verified: bool,
}

/// The two sockets and the bytes in transit of one session.
pub struct Relay {
    /// `None` once the session has ended.
    ends: Option<(UnixStream, TcpStream)>,
    to_driver: Chunk,
    to_server: Chunk,
    /// Whether the server's greeting was checked and forwarded.
    is_greeted: bool,
    /// Whether the password may be sent in clear text, inside TLS.
    is_verified: bool,
    limit: usize,
    received: usize,
    refusal: Option<RelayError>,
}

impl Relay {
    /// Opens a session of the driver, and the relay that the session needs.
    ///
    /// # Errors
    /// The server is unreachable, or the driver or the relay has refused it.
    pub async fn connect(
        server: &Server,
        options: &MySqlConnectOptions,
    ) -> Result<(MySqlConnection, Self), sqlx::Error> {
        let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
        // Nagle's algorithm and a delayed acknowledgement together cost 40 ms.
        stream.set_nodelay(true)?;
        let path = path();
        let listener = UnixListener::bind(&path)?;
        let options = options.clone().socket(&path);
        let mut connecting = pin!(options.connect());
        let driver = tokio::select! {
            driver = of_this_process(&listener) => driver.map_err(sqlx::Error::from),
            // The greeting cannot have reached the driver yet, so this can only be an error.
            result = &mut connecting => Err(result.err().unwrap_or(sqlx::Error::WorkerCrashed)),
        };
        remove(&path);
        let mut relay = Self {
            ends: Some((driver?, stream)),
            to_driver: Chunk::new(),
            to_server: Chunk::new(),
            is_greeted: false,
            is_verified: server.is_verified,
            limit: SHORT,
            received: 0,
            refusal: None,
        };
        let session = relay.during(SHORT, connecting).await?;
        Ok((session, relay))
    }

    /// Forwards bytes while `work` waits for the server, which may send at most `limit` bytes in answer.
    ///
    /// # Errors
    /// The error of `work`, or why the session was ended.
    pub async fn during<T>(
        &mut self,
        limit: usize,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let mut work = pin!(work);
        self.limit = limit;
        self.received = 0;
        let result = poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if self.pass(context).is_ready() {
                // The driver receives this as a closed connection.
                self.ends = None;
            }
            Poll::Pending
        })
        .await;
        match self.refusal.clone() {
            Some(refusal) if result.is_err() => Err(refusal.into()),
            _ => result,
        }
    }

    /// Closes `session` with a message to the server.
    pub async fn close(mut self, session: MySqlConnection) {
        if self.during(SHORT, session.close()).await.is_ok() {
            // Forwards the driver's last bytes.
            poll_fn(|context| self.pass(context)).await;
        }
    }

    /// Forwards the available bytes; ready when the session has ended.
    fn pass(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some((driver, server)) = &mut self.ends else {
            return Poll::Ready(());
        };
        let to_server = &mut self.to_server;
        loop {
            let passed = match to_server.drain(server, context) {
                Poll::Ready(Ok(())) => to_server.fill(driver, context),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
            match passed {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let to_driver = &mut self.to_driver;
        loop {
            if !self.is_greeted {
                match is_greeting(to_driver.bytes(), self.is_verified) {
                    Ok(is_greeting) => self.is_greeted = is_greeting,
                    Err(refusal) => {
                        self.refusal = Some(refusal);
                        return Poll::Ready(());
                    }
                }
            }
            if self.is_greeted && ready!(to_driver.drain(driver, context)).is_err() {
                return Poll::Ready(());
            }
            match ready!(to_driver.fill(server, context)) {
                Ok(length @ 1..) => self.received += length,
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
            if self.received > self.limit {
                self.refusal = Some(RelayError::TooLong(self.limit));
                return Poll::Ready(());
            }
        }
    }
}

/// Bytes in transit.
struct Chunk {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Chunk {
    fn new() -> Self {
        Self {
            buffer: vec![0; CHUNK].into(),
            start: 0,
            end: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads further bytes, and appends them to the earlier ones. Returns their number, or 0 at the end.
    fn fill(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut free = ReadBuf::new(&mut self.buffer[self.end..]);
        ready!(Pin::new(from).poll_read(context, &mut free))?;
        let length = free.filled().len();
        self.end += length;
        Poll::Ready(Ok(length))
    }

    /// Writes all bytes.
    fn drain(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.start < self.end {
            let bytes = &self.buffer[self.start..self.end];
            let length = ready!(Pin::new(&mut *to).poll_write(context, bytes))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += length;
        }
        (self.start, self.end) = (0, 0);
        Poll::Ready(Ok(()))
    }
}

/// The name to which the driver connects. On Linux, no file belongs to this name, since a container may have no
/// writable directory.
fn path() -> PathBuf {
    let name = format!("reckon-{:032x}", fastrand::u128(..));
    if cfg!(target_os = "linux") {
        PathBuf::from(format!("\0{name}"))
    } else {
        std::env::temp_dir().join(name)
    }
}

fn remove(path: &Path) {
    if !cfg!(target_os = "linux") {
        std::fs::remove_file(path).ok();
    }
}

/// Accepts the driver's connection. If another process of this machine connects first, its connection is rejected.
async fn of_this_process(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (driver, _) = listener.accept().await?;
        let process = driver.peer_cred()?.pid();
        if process.and_then(|id| u32::try_from(id).ok()) == Some(std::process::id()) {
            return Ok(driver);
        }
    }
}

/// Bits of the server's capabilities: the second part of the challenge, and the name of a plug-in.
const SECURE_CONNECTION: u32 = 0x8000;
const PLUGIN_AUTH: u32 = 0x8_0000;

/// Whether `bytes` are a complete first packet that the driver may read: a greeting (`HandshakeV10`) or an error.
fn is_greeting(bytes: &[u8], is_verified: bool) -> Result<bool, RelayError> {
    let Some(([low, middle, high, _], rest)) = bytes.split_first_chunk() else {
        return Ok(false);
    };
    let length = u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
    if length > MAX_GREETING_BYTES {
        return Err(RelayError::NoGreeting);
    }
    let Some(payload) = rest.get(..length) else {
        return Ok(false);
    };
    match payload {
        // For example "too many connections".
        [0xFF, _, _, _, ..] => Ok(true),
        [0x0A, ..] => match plugin(payload) {
            Some(b"mysql_clear_password") if !is_verified => Err(RelayError::ClearPassword),
            Some(_) => Ok(true),
            None => Err(RelayError::NoGreeting),
        },
        _ => Err(RelayError::NoGreeting),
    }
}

/// The plug-in in a greeting; empty if there is none. `None`: the greeting ends too early.
fn plugin(greeting: &[u8]) -> Option<&[u8]> {
    let to_nul = |bytes: &[u8]| bytes.iter().position(|byte| *byte == 0);
    let version = to_nul(greeting)?;
    // Connection 4, challenge 8, 0, capabilities 2, character set, status 2, capabilities 2, length, reserved 10.
    let (fixed, rest) = greeting.get(version + 1..)?.split_first_chunk::<31>()?;
    let capabilities = u32::from_le_bytes([fixed[13], fixed[14], fixed[18], fixed[19]]);
    let has = |bit| capabilities & bit != 0;
    let challenge = usize::from(fixed[20].saturating_sub(9).max(12)) + 1;
    let rest = rest.get(if has(SECURE_CONNECTION) { challenge } else { 0 }..)?;
    if has(PLUGIN_AUTH) {
        Some(&rest[..to_nul(rest)?])
    } else {
        Some(b"")
    }
}

#[cfg(test)]
mod tests {
    use super::{RelayError, is_greeting};

    /// The greetings of MySQL 8.0.18 and of MariaDB 10.4.7.
    const MYSQL: &[u8] = b"\n8.0.18\0\x19\0\0\0\x114aB0c\x06g\0\xff\xff\xff\x02\0\xff\xc7\x15\0\0\0\0\0\0\0\0\0\0tL\x03s\x0f[4\rl4. \0caching_sha2_password\0";
    const MARIADB: &[u8] = b"\n5.5.5-10.4.7-MariaDB-1:10.4.7+maria~bionic\0\x0b\0\0\0t6L\\j\"dS\0\xfe\xf7\x08\x02\0\xff\x81\x15\0\0\0\0\0\0\x07\0\0\0U14Oph9\"<H5n\0mysql_native_password\0";

    fn packet(payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&length[..3], &[0], payload].concat()
    }

    #[test]
    fn greetings_and_errors_of_servers_are_passed_on_once_they_are_whole() {
        let error = b"\xff\x10\x04Too many connections";
        for payload in [MYSQL, MARIADB, error] {
            let packet = packet(payload);
            assert!(is_greeting(&packet, false).unwrap());
            for end in 0..packet.len() {
                assert!(!is_greeting(&packet[..end], false).unwrap(), "{end}");
            }
        }
    }

    #[test]
    fn a_greeting_truncated_at_any_byte_is_rejected() {
        for greeting in [MYSQL, MARIADB] {
            for end in 0..greeting.len() {
                let result = is_greeting(&packet(&greeting[..end]), false);
                assert!(matches!(result, Err(RelayError::NoGreeting)), "{end}");
            }
        }
        let flood = [0xFF, 0xFF, 0xFF, 0, 0x0A];
        assert!(matches!(
            is_greeting(&flood, true),
            Err(RelayError::NoGreeting)
        ));
    }

    #[test]
    fn the_password_goes_in_clear_text_to_a_verified_server_only() {
        let end = MYSQL.len() - b"caching_sha2_password\0".len();
        let greeting = packet(&[&MYSQL[..end], b"mysql_clear_password\0"].concat());
        let result = is_greeting(&greeting, false);
        assert!(matches!(result, Err(RelayError::ClearPassword)));
        assert!(is_greeting(&greeting, true).unwrap());
    }
}
