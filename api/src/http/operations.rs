//! The operations port: probes and metrics, on a separate port so that neither port can use up the connections of the other.

use super::phase::{Phase, Readiness};
use super::server::{Client, Handler};
use crate::{recommend::Recommender, supervise::Supervisor};
use axum::response::{IntoResponse, Response};
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use reckon_contract::network;
use std::sync::Arc;

/// The media type of Prometheus's text format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers probes and scrapes.
pub struct Operations {
    /// Has the memory cache, whose size is read at each scrape.
    pub recommender: Arc<Recommender>,
    /// The tasks that must be running.
    pub tasks: Arc<Supervisor>,
    /// Whether the process is ready for traffic.
    pub readiness: Readiness,
    /// Writes all metrics of the process in the text format.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
}

impl Operations {
    fn answer(&self, method: &Method, path: &str) -> Response {
        if method != Method::GET && method != Method::HEAD {
            return (
                StatusCode::METHOD_NOT_ALLOWED,
                [(header::ALLOW, "GET, HEAD")],
            )
                .into_response();
        }
        match path {
            network::LIVEZ => alive(&self.tasks),
            network::READYZ => self.ready(),
            network::METRICS => {
                ([(header::CONTENT_TYPE, OPENMETRICS)], self.metrics()).into_response()
            }
            _ => (
                StatusCode::NOT_FOUND,
                format!(
                    "{}\n{}\n{}\n",
                    network::LIVEZ,
                    network::READYZ,
                    network::METRICS
                ),
            )
                .into_response(),
        }
    }

    fn ready(&self) -> Response {
        let not = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
        if *self.readiness.phase.borrow() != Phase::Serving {
            not("not ready: shutting down\n")
        } else if *self.readiness.store_seen.borrow() {
            "ready\n".into_response()
        } else {
            not("not ready: the store has not answered yet\n")
        }
    }

    fn metrics(&self) -> String {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let memory = self.recommender.memory();
        let metrics = &self.recommender.metrics().memory;
        metrics.entries.set(gauge(memory.len()));
        metrics.bytes.set(gauge(memory.bytes()));
        (self.metrics)()
    }
}

fn alive(tasks: &Supervisor) -> Response {
    match tasks.trouble() {
        None => "alive\n".into_response(),
        Some(trouble) => {
            let why = format!("not alive: {trouble}\n");
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    }
}

impl Handler for Operations {
    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Client) -> Response {
        self.answer(request.method(), request.uri().path())
    }
}

#[cfg(test)]
mod tests {
    use super::alive;
    use crate::supervise::{Supervisor, Task};
    use http_body_util::BodyExt as _;
    use prometheus_client::registry::Registry;
    use std::sync::Arc;

    #[tokio::test]
    async fn the_process_is_not_alive_once_a_task_has_ended_permanently() {
        let tasks = Arc::new(Supervisor::new(&mut Registry::default()));
        assert_eq!(alive(&tasks).status(), 200);
        Arc::clone(&tasks).keep(Task::Prober, |_| async {}).await;
        let answer = alive(&tasks);
        assert_eq!(answer.status(), 503);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "not alive: the task \"prober\" has ended\n");
    }
}
