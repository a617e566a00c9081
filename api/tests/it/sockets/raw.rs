//! A socket, and the bytes that go over it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::api_process::ApiProcess;

/// More time than any wait of the server in these tests.
const TIMEOUT: Duration = Duration::from_secs(20);

pub struct Raw(BufReader<TcpStream>);

/// One answer.
#[derive(Debug)]
pub struct Response {
    /// The first line without its end: `HTTP/1.1 200 OK`.
    pub status: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl Raw {
    /// To the API's port.
    pub async fn connect(api: &ApiProcess) -> Self {
        Self::to(api.url()["http://".len()..].parse().unwrap()).await
    }

    pub async fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends bytes that the server may not read to their end.
    pub async fn send_if_wanted(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes.as_ref()).await
    }

    /// The next answer; panics if the connection ends instead.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// The next answer to a request of this method: one to HEAD has no body.
    pub async fn response_to(&mut self, method: &str) -> Response {
        tokio::time::timeout(TIMEOUT, self.read(method))
            .await
            .expect("an answer")
    }

    async fn read(&mut self, method: &str) -> Response {
        let status = self.line().await;
        assert!(status.starts_with("HTTP/1."), "{status:?}");
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(": ").expect(&line);
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: String::new(),
        };
        let length = response
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" {
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            response.body = String::from_utf8(body).unwrap();
        }
        response
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.strip_suffix("\r\n")
            .unwrap_or_else(|| panic!("the connection ended: {line:?}"))
            .to_owned()
    }

    /// Waits for the connection's end; any bytes may come before it.
    pub async fn ends_somehow(&mut self) -> String {
        let mut rest = Vec::new();
        let end = tokio::time::timeout(TIMEOUT, self.0.read_to_end(&mut rest)).await;
        // A reset is an end, too.
        end.expect("the connection stays open").unwrap_or_default();
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Waits for the connection's end: no byte may come before it.
    pub async fn ends(&mut self) {
        assert_eq!(self.ends_somehow().await, "");
    }
}
