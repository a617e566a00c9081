//! A connection without a socket: a client that sends its next request when it has the response to the previous one.

use super::service::PEER;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reckon_api::fuzzing::{Client, Handler as _, http1};
use reckon_api::http::edge::Edge;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{cell::Cell, io};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Serves one connection on which a client requests `paths`. Returns the number of responses.
pub async fn serve(edge: &Arc<Edge>, paths: &[String]) -> usize {
    let answered = Cell::new(0);
    let client = Client::new(PEER, Instant::now() + Duration::from_hours(1));
    let service = service_fn(|request| {
        let answer = Arc::clone(edge).handle(request, client);
        answered.set(answered.get() + 1);
        // The same settings as in the server; see there.
        Box::pin(async move { Ok::<_, Infallible>(answer.await) })
    });
    let stream = Script {
        requests: paths.iter().map(|path| head(path)).collect(),
        next: 0,
        is_answered: true,
        reading: None,
    };
    let served = http1().serve_connection(TokioIo::new(stream), service);
    served.await.expect("a connection without errors");
    answered.get()
}

fn head(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n").into_bytes()
}

/// A read returns one request, after the response to the previous one was written.
struct Script {
    requests: Vec<Vec<u8>>,
    next: usize,
    is_answered: bool,
    reading: Option<Waker>,
}

impl Script {
    fn written(&mut self) {
        self.is_answered = true;
        if let Some(reading) = self.reading.take() {
            reading.wake();
        }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_answered {
            self.reading = Some(context.waker().clone());
            return Poll::Pending;
        }
        if let Some(request) = self.requests.get(self.next) {
            buffer.put_slice(request);
            self.next += 1;
            self.is_answered = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written();
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written();
        Poll::Ready(Ok(bytes.iter().map(|piece| piece.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
