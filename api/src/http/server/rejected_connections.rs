//! Connections that are not let in: told so, quickly and few at a time, since they are there to be got rid of.

use crate::http::{problem::Problem, rejection::Rejection};
use axum::response::IntoResponse;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Such connections that are open at once; one more closes the oldest of them without an answer.
const MOST: usize = 256;
/// Longest time for the request and the answer.
const LONGEST: Duration = Duration::from_secs(1);

/// Answers what is not let in. Owned by the accept loop.
pub struct RejectedConnections {
    http1: http1::Builder,
    /// The latest ones, the oldest first; many of them have ended.
    latest: VecDeque<AbortHandle>,
}

impl RejectedConnections {
    /// None yet; those that come speak HTTP with the limits of `http1`.
    pub fn new(mut http1: http1::Builder) -> Self {
        http1.keep_alive(false);
        Self {
            http1,
            latest: VecDeque::new(),
        }
    }

    /// Answers the first request with the rejection and closes the connection.
    ///
    /// The request is read first: an answer that is sent before it, and a close that leaves it unread, would reach many
    /// clients as a broken connection. Clients that send no request cannot keep others from their answer: one who sends it
    /// at once has it before 256 more have come.
    pub fn answer(&mut self, stream: TcpStream, rejection: Rejection, tasks: &TaskTracker) {
        if self.latest.len() == MOST
            && let Some(oldest) = self.latest.pop_front()
        {
            oldest.abort();
        }
        let refuse = service_fn(move |_| async move {
            Ok::<_, Infallible>(Problem::from(rejection).into_response())
        });
        let connection = self.http1.serve_connection(TokioIo::new(stream), refuse);
        let task = tasks.spawn(async move {
            if !matches!(timeout(LONGEST, connection).await, Ok(Ok(()))) {
                debug!("a rejected connection ended early");
            }
        });
        self.latest.push_back(task.abort_handle());
    }
}
