//! Connections that are not let in: told so, quickly and few at a time, since they are there to be got rid of.

use crate::http::{Refusal, problem::Problem};
use axum::response::IntoResponse;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Such connections that are open at once; one more is closed without a word.
const MOST: usize = 256;
/// Longest time for the request and the answer.
const LONGEST: Duration = Duration::from_secs(1);

/// Answers what is not let in.
pub struct RefusedConnections(Arc<Semaphore>);

impl Default for RefusedConnections {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl RefusedConnections {
    /// Answers the first request with the refusal and closes the connection.
    ///
    /// The request is read first: an answer that is sent before it, and a close that leaves it unread, would reach many
    /// clients as a broken connection.
    pub fn answer(&self, stream: TcpStream, refusal: Refusal, tasks: &TaskTracker) {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else {
            return;
        };
        tasks.spawn(async move {
            let _permit = permit;
            let refuse = service_fn(|_| async move {
                Ok::<_, Infallible>(Problem::from(refusal).into_response())
            });
            let connection = super::http1()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), refuse);
            if !matches!(timeout(LONGEST, connection).await, Ok(Ok(()))) {
                debug!("a refused connection ended early");
            }
        });
    }
}
