//! A malicious MySQL server: the behaviour that a client meets when an attacker answers at its server's address.
//!
//! It records every byte that it receives, decrypted where possible, so that a test can check that no password was among
//! them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::authority::{Authority, openssl};
use crate::installed::program;

/// How it attacks each client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostility {
    /// Sends a greeting that ends after the version.
    TruncatedGreeting,
    /// Answers the login with a packet of one byte.
    TruncatedLogin,
    /// Sends a greeting that never ends: packets of 16 MiB, as fast as the client reads them.
    Flood,
    /// Accepts the login and answers the first statement with one byte.
    TruncatedAnswer,
    /// Accepts the login and answers the first statement with packets of 16 MiB, as fast as the client reads them.
    FloodAfterLogin,
    /// Requests the password in clear text, in its greeting, without TLS.
    ClearPassword,
    /// Requests the password encrypted with the server's own RSA key, without TLS.
    OwnKey,
    /// Offers TLS with a certificate of its own authority, and requests the password in clear text inside.
    OwnCertificate,
    /// Accepts the connection and sends nothing.
    Tarpit,
    /// Sends a greeting and resets the connection when the client answers.
    Reset,
}

impl Hostility {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::TruncatedGreeting,
        Self::TruncatedLogin,
        Self::Flood,
        Self::TruncatedAnswer,
        Self::FloodAfterLogin,
        Self::ClearPassword,
        Self::OwnKey,
        Self::OwnCertificate,
        Self::Tarpit,
        Self::Reset,
    ];
}

/// Listens until it is dropped.
pub struct HostileServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    hostility: Hostility,
    /// Keys and certificates.
    directory: TempDir,
    received: Mutex<Vec<u8>>,
    connections: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

/// The challenge of each greeting, byte for byte.
const CHALLENGE: u8 = b'A';
/// The payload size of a packet that another one continues.
const WHOLE_PACKET: usize = 0xFF_FF_FF;

/// Bits of the protocol's capabilities: long password, database, protocol 4.1, secure connection, plug-ins.
const CAPABILITIES: u32 = 0x1 | 0x8 | 0x200 | 0x8000 | 0x8_0000 | 0x20_0000;
const TLS: u32 = 0x800;

impl HostileServer {
    /// Starts a hostile server on a port of this machine, which another server may have used until now.
    #[must_use]
    pub fn start(port: u16, hostility: Hostility) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let address = listener.local_addr().unwrap();
        let directory = tempfile::tempdir().unwrap();
        match hostility {
            Hostility::OwnKey => {
                openssl(directory.path(), "genrsa -out rsa.key 2048");
                openssl(directory.path(), "rsa -in rsa.key -pubout -out rsa.pem");
            }
            Hostility::OwnCertificate => Authority::new().issue(directory.path(), "IP:127.0.0.1"),
            _ => {}
        }
        let shared = Arc::new(Shared {
            hostility,
            directory,
            received: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
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

    /// Number of clients so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// All bytes that clients sent so far, and their decrypted form.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        self.shared.received.lock().unwrap().clone()
    }

    /// Whether clients sent `text`.
    #[must_use]
    pub fn has_received(&self, text: &str) -> bool {
        let received = self.received();
        received
            .windows(text.len())
            .any(|bytes| bytes == text.as_bytes())
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        // Wakes the accepting thread, which closes every connection.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let mut clients = Vec::new();
        loop {
            let (client, _) = listener.accept().unwrap();
            if self.stopped.load(SeqCst) {
                break;
            }
            self.connections.fetch_add(1, SeqCst);
            self.open.lock().unwrap().push(client.try_clone().unwrap());
            let shared = Arc::clone(self);
            // A client that hangs up is expected.
            clients.push(thread::spawn(move || shared.serve(client).ok()));
        }
        for client in self.open.lock().unwrap().drain(..) {
            client.shutdown(Shutdown::Both).ok();
        }
        for client in clients {
            let _ = client.join();
        }
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        match self.hostility {
            Hostility::TruncatedGreeting => {
                client.write_all(&packet(0, b"\x0a8.0\0\0"))?;
                self.listen(&mut client)
            }
            Hostility::TruncatedLogin => {
                let (sequence, _) = self.greet(&mut client, "caching_sha2_password", 0)?;
                client.write_all(&packet(sequence + 1, b"\x01"))?;
                self.listen(&mut client)
            }
            Hostility::Flood => flood(&mut client, b'\x0a'),
            Hostility::TruncatedAnswer => {
                self.accept_login(&mut client)?;
                client.write_all(&packet(1, b"\x00"))?;
                self.listen(&mut client)
            }
            Hostility::FloodAfterLogin => {
                self.accept_login(&mut client)?;
                flood(&mut client, b'\x01')
            }
            Hostility::ClearPassword => {
                self.greet(&mut client, "mysql_clear_password", 0)?;
                self.listen(&mut client)
            }
            Hostility::OwnKey => self.take_encrypted(&mut client),
            Hostility::OwnCertificate => self.take_inside_tls(client),
            Hostility::Tarpit => self.listen(&mut client),
            Hostility::Reset => {
                client.write_all(&packet(0, &greeting("caching_sha2_password", 0)))?;
                // A socket that is closed with unread bytes is reset.
                client.peek(&mut [0]).map(drop)?;
                let mut open = self.open.lock().unwrap();
                open.retain(|other| other.peer_addr().ok() != client.peer_addr().ok());
                Ok(())
            }
        }
    }

    /// Sends the greeting, and returns the client's login with its sequence number.
    fn greet(&self, client: &mut TcpStream, plugin: &str, also: u32) -> io::Result<(u8, Vec<u8>)> {
        client.write_all(&packet(0, &greeting(plugin, also)))?;
        self.read_packet(client)
    }

    /// Accepts any login, and reads a statement.
    fn accept_login(&self, client: &mut TcpStream) -> io::Result<()> {
        let (sequence, _) = self.greet(client, "caching_sha2_password", 0)?;
        client.write_all(&packet(sequence + 1, &[0, 0, 0, 2, 0, 0, 0]))?;
        self.read_packet(client).map(drop)
    }

    fn take_encrypted(&self, client: &mut TcpStream) -> io::Result<()> {
        let (sequence, _) = self.greet(client, "caching_sha2_password", 0)?;
        // Requests full authentication.
        client.write_all(&packet(sequence + 1, b"\x01\x04"))?;
        let (sequence, _) = self.read_packet(client)?;
        let directory = self.directory.path();
        let key = fs::read(directory.join("rsa.pem"))?;
        client.write_all(&packet(sequence + 1, &[b"\x01", key.as_slice()].concat()))?;
        let (_, encrypted) = self.read_packet(client)?;
        fs::write(directory.join("encrypted"), encrypted)?;
        let decrypted = Command::new(program("openssl", "openssl"))
            .args("pkeyutl -decrypt -inkey rsa.key -in encrypted".split(' '))
            .args("-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1".split(' '))
            .current_dir(directory)
            .output()?;
        let password = decrypted.stdout.iter().map(|byte| byte ^ CHALLENGE);
        self.received.lock().unwrap().extend(password);
        self.listen(client)
    }

    fn take_inside_tls(&self, mut client: TcpStream) -> io::Result<()> {
        // The client's request for TLS.
        self.greet(&mut client, "caching_sha2_password", TLS)?;
        let directory = self.directory.path();
        let chain = CertificateDer::pem_file_iter(directory.join("server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.join("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut client = StreamOwned::new(connection, client);
        let (sequence, _) = self.read_packet(&mut client)?;
        client.write_all(&packet(sequence + 1, b"\x01\x04"))?;
        client.flush()?;
        self.listen(&mut client)
    }

    /// Reads any bytes, until the client or the server ends.
    fn listen(&self, client: &mut impl Read) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            match client.read(&mut bytes)? {
                0 => return Ok(()),
                length => self.received.lock().unwrap().extend(&bytes[..length]),
            }
        }
    }

    fn read_packet(&self, client: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
        let mut header = [0; 4];
        client.read_exact(&mut header)?;
        let [low, middle, high, sequence] = header;
        let length = u32::from_le_bytes([low, middle, high, 0]) as usize;
        let mut payload = vec![0; length];
        client.read_exact(&mut payload)?;
        self.received.lock().unwrap().extend(&payload);
        Ok((sequence, payload))
    }
}

/// Sends packets that each announce a further one, for as long as the client reads them.
fn flood(client: &mut TcpStream, byte: u8) -> io::Result<()> {
    let mut part = vec![byte; 4 + WHOLE_PACKET];
    part[..4].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0]);
    loop {
        client.write_all(&part)?;
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

/// `HandshakeV10` of the MySQL protocol.
fn greeting(plugin: &str, also: u32) -> Vec<u8> {
    let [first, second, third, fourth] = (CAPABILITIES | also).to_le_bytes();
    [
        b"\x0a8.0.36\0".as_slice(),
        &7_u32.to_le_bytes(),
        &[CHALLENGE; 8],
        &[0, first, second, 0xFF, 2, 0, third, fourth, 21],
        &[0; 10],
        &[CHALLENGE; 12],
        &[0],
        plugin.as_bytes(),
        &[0],
    ]
    .concat()
}
