//! The reasons why no metrics could be read from a process.

use super::reader::Invalid;
use std::io;
use std::time::Duration;

/// Maximum bytes of an answer. Reckon's have less than 100 KiB.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why no metrics could be read from a process. The message contains nothing that a peer sent.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name has no address.
    #[error("the name has no address")]
    NoAddress,
    /// No connection.
    #[error("{0}")]
    Connect(io::ErrorKind),
    /// The answer took too long.
    #[error("no answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The connection broke, or the peer does not speak HTTP.
    #[error("no HTTP answer")]
    NoHttp,
    /// The endpoint has no metrics: it is the API's port, or another program.
    #[error("HTTP 404, not an operations port")]
    NotFound,
    /// Another status than 200.
    #[error("HTTP status {0}")]
    Status(u16),
    /// The answer is too large.
    #[error("the answer is larger than {} MiB", MAX_BYTES / 1024 / 1024)]
    TooLarge,
    /// The answer is invalid.
    #[error("{0}")]
    Invalid(#[from] Invalid),
}
