//! Ends connections of clients that are too slow: with a request's head, with the next request, or with reading.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Longest time for a request's head, from its first byte on, or from the connection's start.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time without a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest time in which a client takes nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a connection stands between two requests, shared by its stream and its service.
pub struct Pace {
    opened: Instant,
    state: AtomicU8,
    /// Milliseconds from `opened` to the state's begin.
    since: AtomicU64,
}

const HEAD: u8 = 0;
const REQUEST: u8 = 1;
const IDLE: u8 = 2;

impl Pace {
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            state: AtomicU8::new(HEAD),
            since: AtomicU64::new(0),
        }
    }

    /// A request's head is complete.
    pub fn request_began(&self) {
        self.state.store(REQUEST, Relaxed);
    }

    /// The answer is ready to be written.
    pub fn request_ended(&self) {
        self.enter(IDLE);
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

    /// When the client will have been too slow; `None` while it is our turn.
    fn deadline(&self) -> Option<Instant> {
        let timeout = match self.state.load(Relaxed) {
            HEAD => HEAD_TIMEOUT,
            IDLE => IDLE_TIMEOUT,
            _ => return None,
        };
        Some(self.opened + Duration::from_millis(self.since.load(Relaxed)) + timeout)
    }
}

/// A stream whose reads and writes fail when the client is too slow.
pub struct PacedStream<S> {
    stream: S,
    pace: Arc<Pace>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> PacedStream<S> {
    pub fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self {
            stream,
            pace,
            reading: None,
            writing: None,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.pace.bytes_arrived();
            return Poll::Ready(result);
        }
        // A timer that is set too early is set anew when it fires: that costs less than setting it for every request.
        while let Some(deadline) = this.pace.deadline() {
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

impl<S: AsyncWrite + Unpin> PacedStream<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
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
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{Pace, PacedStream};
    use std::{sync::Arc, time::Duration};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    async fn seconds_until_timeout(
        pace: Arc<Pace>,
        before: impl AsyncFnOnce(&mut PacedStream<tokio::io::DuplexStream>),
    ) -> f64 {
        let (mut client, server) = duplex(64);
        client.write_all(b"G").await.unwrap();
        let mut stream = PacedStream::new(server, pace);
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        before(&mut stream).await;
        let began = Instant::now();
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_to_its_end_is_cut_off_after_10_seconds() {
        let seconds = seconds_until_timeout(Arc::new(Pace::new()), async |_| ()).await;
        assert!((9.9..10.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_is_cut_off_after_75_seconds() {
        let pace = Arc::new(Pace::new());
        let seconds = seconds_until_timeout(Arc::clone(&pace), async |_| {
            pace.request_began();
            tokio::time::sleep(Duration::from_secs(20)).await;
            pace.request_ended();
        })
        .await;
        assert!((74.9..75.1).contains(&seconds), "{seconds}");
    }
}
