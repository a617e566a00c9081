//! The read, idle and write timeouts of a client's connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

/// Maximum time for a request's head, from its first byte, or from the start of the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum time during which a client reads no bytes of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time for reading a whole response: 1.4 MB, the largest, at 40 kbit/s.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(5);

/// A connection that has waited for its client for less time is not closed: the request may be in transit.
const MIN_WAIT_TO_CLOSE: Duration = Duration::from_millis(250);

/// What a connection is waiting for. Its stream, its service and the accept loop share this state.
pub struct ConnectionState {
    opened: Instant,
    state: AtomicU8,
    /// Milliseconds from `opened` to the beginning of the state.
    since: AtomicU64,
    closing: Notify,
}

/// The head of the next request is incomplete; also the state of a new connection.
const HEAD: u8 = 0;
/// A request is being handled.
const REQUEST: u8 = 1;
/// The response is ready, but not completely written.
const RESPONSE: u8 = 2;
/// Every response is written, and the client sends nothing.
const IDLE: u8 = 3;

/// How long a client has kept its connection waiting, and for what. Of two values, the greater one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wait {
    what: WaitingFor,
    time: Duration,
}

/// What the connection is waiting for; the last variant is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitingFor {
    /// For the client to read its response. Closing would cut the response off.
    ReadingResponse,
    /// For the next request. It may arrive at any time.
    NextRequest,
    /// For the rest of a request's head, which clients send in one piece.
    RestOfHead,
}

impl ConnectionState {
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            state: AtomicU8::new(HEAD),
            since: AtomicU64::new(0),
            closing: Notify::new(),
        }
    }

    /// A request's head is complete.
    pub fn request_began(&self) {
        self.state.store(REQUEST, Relaxed);
    }

    /// The response is ready to be written.
    pub fn request_ended(&self) {
        self.enter(RESPONSE);
    }

    fn all_is_written(&self) {
        if self.state.load(Relaxed) == RESPONSE {
            self.enter(IDLE);
        }
    }

    fn bytes_arrived(&self) {
        if self.state.load(Relaxed) == IDLE {
            self.enter(HEAD);
        }
    }

    fn enter(&self, state: u8) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Relaxed);
        self.state.store(state, Relaxed);
    }

    fn began(&self) -> Instant {
        self.opened + Duration::from_millis(self.since.load(Relaxed))
    }

    /// When the client exceeds its timeout; `None` while the server is handling a request.
    fn deadline(&self) -> Option<Instant> {
        let timeout = match self.state.load(Relaxed) {
            HEAD => HEAD_TIMEOUT,
            RESPONSE => RESPONSE_TIMEOUT,
            IDLE => IDLE_TIMEOUT,
            _ => return None,
        };
        Some(self.began() + timeout)
    }

    /// For how long the client has kept the connection waiting; `None` while the server is handling a request.
    pub fn wait(&self) -> Option<Wait> {
        let what = match self.state.load(Relaxed) {
            HEAD => WaitingFor::RestOfHead,
            RESPONSE => WaitingFor::ReadingResponse,
            IDLE => WaitingFor::NextRequest,
            _ => return None,
        };
        let time = self.began().elapsed();
        Some(Wait { what, time })
    }

    /// Requests the connection to close and to release its permit for another one.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Waits for [`Self::close`].
    pub async fn closing(&self) {
        self.closing.notified().await;
    }
}

impl Wait {
    /// Whether the client has kept the connection waiting for so long that another connection may replace it.
    pub fn is_long(self) -> bool {
        self.time > MIN_WAIT_TO_CLOSE
    }
}

/// A stream whose reads and writes fail when the client is too slow.
pub struct TimeoutStream<S> {
    stream: S,
    state: Arc<ConnectionState>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> TimeoutStream<S> {
    pub fn new(stream: S, state: Arc<ConnectionState>) -> Self {
        Self {
            stream,
            state,
            reading: None,
            writing: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.state.bytes_arrived();
            return Poll::Ready(result);
        }
        // A timer that fires too early is set again when it fires, which costs less than setting it for every request.
        while let Some(deadline) = this.state.deadline() {
            let timer = this
                .reading
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.deadline() > deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> TimeoutStream<S> {
    fn unless_stuck<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + WRITE_TIMEOUT)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.unless_stuck(cx, result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, bytes);
        this.unless_stuck(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        // hyper flushes the stream when it has nothing left to write.
        if matches!(flushed, Poll::Ready(Ok(()))) {
            this.state.all_is_written();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{ConnectionState, TimeoutStream};
    use std::{sync::Arc, time::Duration};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    async fn seconds_until_timeout(
        state: Arc<ConnectionState>,
        before: impl AsyncFnOnce(&mut TimeoutStream<tokio::io::DuplexStream>),
    ) -> f64 {
        let (mut client, server) = duplex(64);
        client.write_all(b"G").await.unwrap();
        let mut stream = TimeoutStream::new(server, state);
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        before(&mut stream).await;
        let began = Instant::now();
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_an_incomplete_head_is_disconnected_after_10_seconds() {
        let seconds = seconds_until_timeout(Arc::new(ConnectionState::new()), async |_| ()).await;
        assert!((9.9..10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_is_disconnected_after_75_seconds() {
        let state = Arc::new(ConnectionState::new());
        let seconds = seconds_until_timeout(Arc::clone(&state), async |stream| {
            state.request_began();
            tokio::time::sleep(Duration::from_secs(20)).await;
            state.request_ended();
            // A client that reads its response is not idle.
            tokio::time::sleep(Duration::from_secs(100)).await;
            stream.flush().await.unwrap();
        })
        .await;
        assert!((74.9..75.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_a_response_too_slowly_is_disconnected_after_300_seconds() {
        let state = Arc::new(ConnectionState::new());
        let seconds = seconds_until_timeout(Arc::clone(&state), async |_| {
            state.request_began();
            state.request_ended();
        })
        .await;
        assert!((299.9..300.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn incomplete_heads_are_replaced_before_idle_connections_and_those_before_unread_responses()
     {
        let (idle, head, busy, taking) = (
            ConnectionState::new(),
            ConnectionState::new(),
            ConnectionState::new(),
            ConnectionState::new(),
        );
        taking.request_began();
        taking.request_ended();
        tokio::time::sleep(Duration::from_secs(1)).await;
        idle.request_began();
        idle.request_ended();
        idle.all_is_written();
        busy.request_began();
        tokio::time::sleep(Duration::from_secs(5)).await;
        head.enter(super::HEAD);
        let younger = ConnectionState::new();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(head.wait() > idle.wait() && idle.wait() > taking.wait());
        assert!(taking.wait() > busy.wait());
        assert!(head.wait() >= younger.wait());
        assert_eq!(busy.wait(), None);
        assert!(idle.wait().is_some_and(super::Wait::is_long));
        assert!(
            !ConnectionState::new()
                .wait()
                .is_some_and(super::Wait::is_long)
        );
    }
}
