//! Rejects connections with a response, in a short time and few at once.

use super::lingering;
use crate::http::{problem::Problem, rejection::Rejection};
use axum::response::IntoResponse;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{collections::VecDeque, convert::Infallible, future::ready, time::Duration};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Maximum number of rejected connections that are open. A further one closes the oldest without a response.
const MAX_CONNECTIONS: usize = 256;
/// Maximum time for the request and the response.
const REJECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// Answers rejected connections. Owned by the accept loop.
pub struct RejectedConnections {
    http1: http1::Builder,
    /// The latest connections, the oldest first; many of them have ended.
    latest: VecDeque<AbortHandle>,
}

impl RejectedConnections {
    /// Starts empty; the connections use HTTP/1.1 with the limits of `http1`.
    pub fn new(mut http1: http1::Builder) -> Self {
        http1.keep_alive(false);
        Self {
            http1,
            latest: VecDeque::new(),
        }
    }

    /// Answers the first request with the rejection and closes the connection.
    ///
    /// The request is read first. If the connection were closed with an unread request, many clients would report a
    /// broken connection instead of the response. Clients that send no request cannot block others, because a client
    /// that sends its request at once gets its response before 256 further connections have arrived.
    pub fn answer(&mut self, stream: TcpStream, rejection: Rejection, tasks: &TaskTracker) {
        if self.latest.len() == MAX_CONNECTIONS
            && let Some(oldest) = self.latest.pop_front()
        {
            oldest.abort();
        }
        let refuse = service_fn(move |_| {
            ready(Ok::<_, Infallible>(
                Problem::from(rejection).into_response(),
            ))
        });
        let mut connection = self.http1.serve_connection(TokioIo::new(stream), refuse);
        let task = tasks.spawn(async move {
            let answered = async {
                lingering::served(&mut connection).await?;
                lingering::close(connection).await;
                hyper::Result::Ok(())
            };
            if !matches!(timeout(REJECTION_TIMEOUT, answered).await, Ok(Ok(()))) {
                debug!("a rejected connection ended early");
            }
        });
        self.latest.push_back(task.abort_handle());
    }
}
