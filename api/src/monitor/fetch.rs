//! One request for metrics: a separate connection, a deadline, and a maximum size.

use super::endpoint::Target;
use super::failure::{Failure, MAX_BYTES};
use super::reader::Reader;
use super::sample::Sample;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// Maximum bytes of an answer's head.
const HEAD_BYTES: usize = 16 * 1024;

/// Fetches the current metrics of a process. The connection is closed when this returns or is dropped.
///
/// # Errors
/// There was no valid answer before the deadline.
pub async fn fetch(target: &Target, within: Duration) -> Result<Sample, Failure> {
    let answer = tokio::time::timeout(within, request(target)).await;
    answer.unwrap_or(Err(Failure::TimedOut(within)))
}

async fn request(target: &Target) -> Result<Sample, Failure> {
    if target.addresses.is_empty() {
        return Err(Failure::NoAddress);
    }
    let stream = TcpStream::connect(target.addresses.as_slice()).await;
    let stream = stream.map_err(|error| Failure::Connect(error.kind()))?;
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES);
    let handshake = builder.handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| Failure::NoHttp)?;
    let request = Request::get(&target.path)
        .header(header::HOST, &target.name)
        .header(header::CONNECTION, "close")
        .header(
            header::ACCEPT,
            "application/openmetrics-text; version=1.0.0",
        )
        .header(
            header::USER_AGENT,
            concat!("reckon-monitor/", env!("CARGO_PKG_VERSION")),
        )
        .body(Empty::<Bytes>::new())
        .map_err(|_| Failure::NoHttp)?;
    let answer = async move {
        let response = sender.send_request(request).await;
        read(response.map_err(|_| Failure::NoHttp)?).await
    };
    // Not a separate task: it must not outlive the request.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}

async fn read(mut response: Response<Incoming>) -> Result<Sample, Failure> {
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Failure::NotFound),
        other => return Err(Failure::Status(other.as_u16())),
    }
    let mut reader = Reader::default();
    let mut bytes = 0;
    while let Some(frame) = response.frame().await {
        let frame = frame.map_err(|_| Failure::NoHttp)?;
        let piece = frame.data_ref().map_or(&[][..], |piece| piece);
        bytes += piece.len();
        if bytes > MAX_BYTES {
            return Err(Failure::TooLarge);
        }
        reader.push(piece)?;
    }
    Ok(reader.finish()?)
}
