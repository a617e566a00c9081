//! A program that listens where `reckon-api` does: this very test binary, started again with one test chosen.

use std::convert::Infallible;
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::harness::api_process::{ApiCommand, ApiProcess};

/// From SIGTERM, when it is no longer ready, to its end.
pub const DRAIN: Duration = Duration::from_millis(500);

/// A running stand-in: its API answers with `name` and the path.
pub fn spawn(name: &str) -> ApiProcess {
    ApiCommand::of(env::current_exe().unwrap())
        .args(["--exact", "harness_selftest::stand_in::serve"])
        .args(["--ignored", "--nocapture"])
        .env("STAND_IN", "yes")
        .envs([("NAME", name)])
        .spawn()
}

#[tokio::test]
#[ignore = "not a test: the program that `spawn` starts"]
async fn serve() {
    let (Ok(name), Ok(_)) = (env::var("NAME"), env::var("STAND_IN")) else {
        return;
    };
    let ready = Arc::new(AtomicBool::new(true));
    for listen in ["RECKON_LISTEN", "RECKON_OPS_LISTEN"] {
        let listener = TcpListener::bind(env::var(listen).unwrap()).await.unwrap();
        tokio::spawn(answer_all(listener, name.clone(), ready.clone()));
    }
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    eprintln!("{name} serves");
    terminate.recv().await;
    ready.store(false, Ordering::Relaxed);
    eprintln!("{name} drains");
    tokio::time::sleep(DRAIN).await;
    std::process::exit(7);
}

async fn answer_all(listener: TcpListener, name: String, ready: Arc<AtomicBool>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (name, ready) = (name.clone(), ready.clone());
        let service = service_fn(move |request| {
            let answer = answer(&request, &name, ready.load(Ordering::Relaxed));
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer(request: &Request<Incoming>, name: &str, ready: bool) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let status = match path {
        "/readyz" if !ready => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    };
    let body = format!(
        r#"{{"name":"{name}","method":"{}","path":"{path}"}}"#,
        request.method()
    );
    Response::builder()
        .status(status)
        .header("x-name", name)
        .body(Full::new(body.into()))
        .unwrap()
}
