//! A real Redis server that keeps nothing on disk.

use std::env;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::eventually::eventually;
use crate::installed::program;
use crate::port::Port;
use crate::process::Process;
use crate::watchdog::Scratch;

/// Time limit of a start on a busy machine. A few hundredths of a second are usual.
const START: Duration = Duration::from_secs(20);

/// A server with a separate port; it is stopped when dropped.
pub struct RedisServer {
    // Before the directory: fields are dropped in this order.
    /// The server's process: freeze, thaw, kill and stop it here; read its log.
    pub process: Process,
    port: Port,
    _directory: Scratch,
}

impl RedisServer {
    /// Starts a server, and waits until it answers.
    pub async fn running() -> Self {
        Self::running_with(&[]).await
    }

    /// The same with extra arguments: `&["--requirepass", "secret"]`.
    pub async fn running_with(arguments: &[&str]) -> Self {
        let mut server = Self::reserve(arguments);
        server.start().await;
        server
    }

    /// A server that is not started yet; its port is reserved.
    #[must_use]
    pub fn reserve(arguments: &[&str]) -> Self {
        let directory = Scratch::new(&env::temp_dir(), "reckon-redis-");
        let port = Port::take();
        let mut command = Command::new(program("redis-server", "redis-server"));
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--port", &port.number().to_string(), "--dir"])
            .arg(directory.path())
            .args(arguments);
        Self {
            process: Process::new(command),
            port,
            _directory: directory,
        }
    }

    /// Starts it, for the first time or again, empty, and waits until it answers.
    pub async fn start(&mut self) {
        self.process.start();
        // A server with a password also answers: that it requires one.
        let answers = async || match self.command(&["PING"]).await {
            Err(error) if !error.to_string().starts_with("NOAUTH") => Err(error),
            _ => Ok(()),
        };
        eventually(START, answers).await;
    }

    /// Kills it with SIGKILL and starts it again: same port, no data.
    pub async fn restart(&mut self) {
        self.process.kill();
        self.start().await;
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The API's environment variables for this server.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", self.port().to_string()),
        ]
    }

    /// Sends one command over a new connection: `command(&["GET", "key"])`. An array is returned as its items, one a
    /// line; a null as `None`.
    ///
    /// # Errors
    /// An error of the server, with its message; no connection.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<Option<String>> {
        let stream = TcpStream::connect(self.port.address()).await?;
        let mut stream = BufReader::new(stream);
        let words = words
            .iter()
            .map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let words: Vec<String> = words.collect();
        let request = format!("*{}\r\n{}", words.len(), words.concat());
        stream.write_all(request.as_bytes()).await?;
        reply(&mut stream).await
    }
}

/// Reads one reply in the format of <https://redis.io/docs/latest/develop/reference/protocol-spec/> (RESP2).
async fn reply(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<String>> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let line = line.strip_suffix("\r\n").context("the reply broke off")?;
    let (kind, rest) = line.split_at_checked(1).context("an empty reply")?;
    match kind {
        "+" | ":" => Ok(Some(rest.to_owned())),
        "-" => bail!("{rest}"),
        "$" => bulk(stream, rest.parse()?).await,
        "*" => {
            let mut items = Vec::new();
            for _ in 0..rest.parse::<i64>()? {
                items.push(Box::pin(reply(stream)).await?.unwrap_or_default());
            }
            Ok(Some(items.join("\n")))
        }
        _ => bail!("not a reply: {line}"),
    }
}

/// Reads a string of `length` bytes; -1 is a null.
async fn bulk(stream: &mut BufReader<TcpStream>, length: i64) -> anyhow::Result<Option<String>> {
    let Ok(length) = usize::try_from(length) else {
        return Ok(None);
    };
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes).await?;
    bytes.truncate(length);
    Ok(Some(String::from_utf8(bytes)?))
}
