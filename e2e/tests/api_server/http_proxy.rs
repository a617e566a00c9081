//! An HTTP proxy in front of the API server. It can answer in its place, late or never, and counts requests.

use crate::cluster::Cluster;
use futures_util::StreamExt as _;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, BodyStream, Full, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use kube::config::Kubeconfig;
use serde_json::json;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How the proxy treats requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards them.
    Well,
    /// Answers all of them with this status.
    Answering(StatusCode),
    /// Answers writes with this status, and forwards other requests.
    Refusing(StatusCode),
    /// Forwards them after this delay.
    Late(Duration),
    /// Answers none until the mode changes.
    Silent,
    /// Forwards them, but open watches report nothing until the mode changes.
    Deaf,
    /// Forwards them, but ends each watch at once.
    Brief,
    /// Forwards them, but answers none about objects of this resource until the mode changes.
    Holding(&'static str),
}

type Answer = Response<UnsyncBoxBody<Bytes, kube::Error>>;

/// A request: when, and its method and path.
pub type TimedRequest = (Instant, String);

/// Listens until it is dropped.
pub struct HttpProxy {
    mode: watch::Sender<Mode>,
    asked: Arc<Mutex<Vec<TimedRequest>>>,
    kubeconfig: PathBuf,
    _accepting: JoinSet<()>,
}

#[derive(Clone)]
struct State {
    client: Client,
    mode: watch::Receiver<Mode>,
    asked: Arc<Mutex<Vec<TimedRequest>>>,
}

impl HttpProxy {
    /// Begins to forward requests of an operator.
    pub async fn to(cluster: &Cluster) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let direct = cluster.operator_kubeconfig().await;
        let mut kubeconfig = Kubeconfig::read_from(&direct).unwrap();
        let at = kubeconfig.clusters[0].cluster.as_mut().unwrap();
        at.server = Some(url.clone());
        at.certificate_authority_data = None;
        let port = url.rsplit(':').next().unwrap();
        let path = direct.with_file_name(format!("kubeconfig-http-{port}"));
        std::fs::write(&path, serde_yaml::to_string(&kubeconfig).unwrap()).unwrap();
        let (mode, modes) = watch::channel(Mode::Well);
        let asked = Arc::default();
        let state = State {
            client: cluster.operators_client().await,
            mode: modes,
            asked: Arc::clone(&asked),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, state));
        Self {
            mode,
            asked,
            kubeconfig: path,
            _accepting: accepting,
        }
    }

    /// The kubeconfig for an operator that uses the proxy.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// Sets the mode. Open watches end, unless they are to be silent.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Requests since a moment.
    pub fn requests_since(&self, since: Instant) -> Vec<TimedRequest> {
        let asked = self.asked.lock().unwrap();
        let asked = asked.iter().filter(|(at, _)| *at >= since);
        asked.cloned().collect()
    }
}

async fn accept(listener: TcpListener, state: State) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, state.clone()));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            // The operator may end it at any time.
            connection.await.ok();
        });
    }
}

async fn answer(request: Request<Incoming>, mut state: State) -> Result<Answer, Infallible> {
    let what = format!("{} {}", request.method(), request.uri().path());
    state.asked.lock().unwrap().push((Instant::now(), what));
    let mode = *state.mode.borrow_and_update();
    let writes = !request.method().is_safe();
    match mode {
        Mode::Answering(code) => return Ok(status(code)),
        Mode::Refusing(code) if writes => return Ok(status(code)),
        Mode::Silent => {
            state.mode.changed().await.ok();
            return Ok(status(StatusCode::GATEWAY_TIMEOUT));
        }
        Mode::Holding(resource) if is_about(&request, resource) => {
            state.mode.changed().await.ok();
            return Ok(status(StatusCode::GATEWAY_TIMEOUT));
        }
        Mode::Late(delay) => sleep(delay).await,
        Mode::Well | Mode::Refusing(_) | Mode::Deaf | Mode::Brief | Mode::Holding(_) => {}
    }
    Ok(forward(request, state)
        .await
        .unwrap_or_else(|_| status(StatusCode::BAD_GATEWAY)))
}

fn is_about(request: &Request<Incoming>, resource: &str) -> bool {
    let mut parts = request.uri().path().split('/');
    parts.any(|part| part == resource)
}

/// The answer of the API server. A watch ends when the mode changes to one in which requests fail, or watches are brief.
async fn forward(request: Request<Incoming>, state: State) -> Result<Answer, kube::Error> {
    let (mut head, body) = request.into_parts();
    let watches = head
        .uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let path = head.uri.path_and_query().cloned();
    head.uri = Uri::from(path.unwrap());
    head.headers.remove(header::HOST);
    head.headers.remove(header::AUTHORIZATION);
    let body = body
        .collect()
        .await
        .map_or(Bytes::new(), http_body_util::Collected::to_bytes);
    let request = Request::from_parts(head, kube::client::Body::from(body.to_vec()));
    let (head, body) = state.client.send(request).await?.into_parts();
    let (mut ends, silent) = (state.mode.clone(), state.mode);
    let frames = BodyStream::new(body).then(move |frame| {
        let mut silent = silent.clone();
        async move {
            // The sender exists as long as the proxy.
            silent
                .wait_for(|mode| !watches || *mode != Mode::Deaf)
                .await
                .ok();
            frame
        }
    });
    let frames = frames.take_until(async move {
        let fails = |mode: &Mode| match mode {
            Mode::Answering(_) | Mode::Silent => true,
            Mode::Brief => watches,
            _ => false,
        };
        ends.wait_for(fails).await.ok();
    });
    Ok(Response::from_parts(
        head,
        StreamBody::new(frames).boxed_unsync(),
    ))
}

/// An answer of the proxy itself, in the form of the API server.
fn status(code: StatusCode) -> Answer {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason,
        "message": "answered by a test",
    });
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = code;
    let json = "application/json".try_into().unwrap();
    answer.headers_mut().insert(header::CONTENT_TYPE, json);
    answer
}
