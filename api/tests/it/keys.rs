//! Access control: through the real router, and by the real program while its keys are replaced.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::client::Client;
use crate::harness::eventually::eventually;
use crate::scripted::ScriptedStore;
use crate::service::{Answer, Service};
use http::{Method, Request};
use reckon_api::api_keys::ApiKeys;
use reckon_api::http::access::Access;
use reckon_api::store::sqlite;
use reckon_contract::Tuning;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinSet;

const OLD: &str = "old-key-UfUv2VtkqXYwGQ";
const NEW: &str = "new-key-9PpTzZQ0yVd3sA";
const WRONG: &str = "wrong-key-1mB7cJr5tKx8w";
/// More time than a changed file needs to take effect.
const TIMEOUT: Duration = Duration::from_secs(10);

fn service(reads: bool) -> Service {
    let (_, keys) = tokio::sync::watch::channel(ApiKeys::parse(OLD.as_bytes()).unwrap());
    guarded(Access::Keyed { keys, reads })
}

fn guarded(access: Access) -> Service {
    Service::guarded(ScriptedStore(Arc::default()), Tuning::default(), access)
}

async fn send_request(service: &Service, method: &str, path: &str, authorization: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", authorization);
    service.send(request.body(()).unwrap()).await
}

#[tokio::test]
async fn mutating_requests_need_a_key_and_the_401_explains_how_to_send_one() {
    let service = service(false);
    let without = service.send_request("POST", "/invalidate-cache/1").await;
    assert_eq!(without.status, 401);
    insta::assert_snapshot!(without.body, @r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"this request requires an API key: send `Authorization: Bearer KEY`"}"#);
    assert_eq!(
        without.header("www-authenticate"),
        r#"Bearer realm="reckon""#
    );
    let wrong = send_request(
        &service,
        "POST",
        "/warm-cache?user_ids=1",
        &format!("Bearer {WRONG}"),
    )
    .await;
    assert_eq!(wrong.status, 401);
    insta::assert_snapshot!(wrong.body, @r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"invalid API key"}"#);
    assert_eq!(
        wrong.header("www-authenticate"),
        r#"Bearer realm="reckon", error="invalid_token""#
    );
    assert_eq!(wrong.header("content-type"), "application/problem+json");
    let right = send_request(
        &service,
        "POST",
        "/invalidate-cache/1",
        &format!("bearer {OLD}"),
    )
    .await;
    assert_eq!(right.status, 200, "{}", right.body);
    assert_eq!(service.get("/recommend/1").await.status, 200);
    // A path that is not there is not there for anybody.
    assert_eq!(
        service.send_request("POST", "/nothing/here").await.status,
        404
    );
}

#[tokio::test]
async fn without_keys_requests_that_need_one_name_the_setting() {
    let service = guarded(Access::Closed { reads: false });
    let answer = service.send_request("POST", "/invalidate-cache/all").await;
    assert_eq!(answer.status, 403);
    insta::assert_snapshot!(answer.json()["detail"].as_str().unwrap(), @"this request requires an API key, but none is configured; set RECKON_API_KEYS, or RECKON_AUTH=off to disable authentication");
    assert_eq!(service.get("/recommend/1").await.status, 200);
}

#[tokio::test]
async fn the_description_states_for_every_operation_whether_it_needs_a_key() {
    for reads in [false, true] {
        let service = service(reads);
        let description = service.get("/openapi.json").await.json();
        assert_eq!(
            description["components"]["securitySchemes"]["key"]["scheme"],
            "bearer"
        );
        let mut operations = 0;
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let path = path.replace("{user_id}", "1");
                let answer = service.send_request(&method.to_uppercase(), &path).await;
                let security = operation["security"].as_array();
                let always = security.is_some_and(|any| !any.contains(&serde_json::json!({})));
                let refused = always || (reads && security.is_some());
                assert_eq!(answer.status == 401, refused, "{method} {path} {reads}");
                let responses = &operation["responses"];
                for status in ["401", "403"] {
                    assert_eq!(
                        responses[status].is_object(),
                        security.is_some(),
                        "{status} of {method} {path}"
                    );
                }
                assert!(responses["429"].is_object(), "{method} {path}");
                operations += 1;
            }
        }
        assert_eq!(operations, 13);
        for open in ["/health", "/openapi.json", "/docs/"] {
            assert_eq!(service.get(open).await.status, 200, "{open}");
        }
    }
}

/// A file like one of a Secret that Kubernetes mounts: behind two symbolic links, of which the first is replaced.
struct Secret(tempfile::TempDir);

impl Secret {
    fn of(keys: &[&str]) -> Self {
        let secret = Self(tempfile::tempdir().unwrap());
        secret.put(keys);
        symlink("..data/keys", secret.path()).unwrap();
        secret
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("keys")
    }

    fn put(&self, keys: &[&str]) {
        static VERSION: AtomicUsize = AtomicUsize::new(0);
        let version = format!("..version-{}", VERSION.fetch_add(1, SeqCst));
        let within = |name: &str| self.0.path().join(name);
        fs::create_dir(within(&version)).unwrap();
        fs::write(within(&version).join("keys"), keys.join("\n")).unwrap();
        symlink(version, within("..new")).unwrap();
        fs::rename(within("..new"), within("..data")).unwrap();
    }
}

async fn start(directory: &Path, command: ApiCommand) -> ApiProcess {
    let data = directory.join("empty.db");
    drop(sqlite::create(&data).await.unwrap());
    let api = command.env("RECKON_DATA", data).spawn();
    api.ready().await;
    api
}

fn with(api: &ApiProcess, key: &str) -> Client {
    api.client()
        .with_header("authorization", &format!("Bearer {key}"))
}

async fn becomes(client: &Client, status: u16) {
    eventually(TIMEOUT, async || {
        client.post("/invalidate-cache/1").await.status == status
    })
    .await;
}

#[tokio::test]
async fn keys_are_rotated_under_load_without_a_failed_request() {
    let secret = Secret::of(&[OLD]);
    let api = start(
        secret.0.path(),
        ApiCommand::new().env("RECKON_API_KEYS", secret.path()),
    )
    .await;
    let (old, new) = (with(&api, OLD), with(&api, NEW));
    assert_eq!(new.post("/invalidate-cache/1").await.status, 401);

    let (use_new, stop) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let exchanged = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (old, new, exchanged) = (old.clone(), new.clone(), Arc::clone(&exchanged));
        let (use_new, stop) = (Arc::clone(&use_new), Arc::clone(&stop));
        callers.spawn(async move {
            let mut done = [0_u32; 2];
            while !stop.load(SeqCst) {
                let is_new = use_new.load(SeqCst);
                let client = if is_new { &new } else { &old };
                let answer = client.send(Method::POST, "/invalidate-cache/7", "").await;
                let answer = answer.unwrap();
                assert_eq!(answer.status, 200, "{}", answer.body);
                done[usize::from(is_new)] += 1;
                if is_new && done[1] == 1 {
                    exchanged.fetch_add(1, SeqCst);
                }
            }
            done
        });
    }
    secret.put(&[OLD, NEW]);
    becomes(&new, 200).await;
    use_new.store(true, SeqCst);
    eventually(TIMEOUT, async || exchanged.load(SeqCst) == 8).await;
    secret.put(&[NEW]);
    becomes(&old, 401).await;
    stop.store(true, SeqCst);
    let done = callers.join_all().await;
    let [before, after] = [0, 1].map(|key| done.iter().map(|done| done[key]).sum::<u32>());
    assert!(before > 0 && after > 0, "{done:?}");
    println!("{before} requests with the old key and {after} with the new one, none refused");
}

#[tokio::test]
async fn an_invalid_file_keeps_the_previous_keys_and_is_logged_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    fs::write(&file, OLD).unwrap();
    let api = start(
        directory.path(),
        ApiCommand::new().env("RECKON_API_KEYS", &file),
    )
    .await;
    let warnings = || {
        let logs = api.process.logs();
        let warnings = logs
            .iter()
            .filter(|line| line.contains("keeping the previous keys"));
        warnings.cloned().collect::<Vec<_>>()
    };
    fs::write(&file, "# no more\n").unwrap();
    eventually(TIMEOUT, async || warnings().len() == 1).await;
    fs::write(&file, format!("{NEW}\nshort")).unwrap();
    eventually(TIMEOUT, async || warnings().len() == 2).await;
    fs::remove_file(&file).unwrap();
    eventually(TIMEOUT, async || warnings().len() == 3).await;
    assert_eq!(
        with(&api, OLD).post("/invalidate-cache/1").await.status,
        200
    );
    assert_eq!(
        with(&api, NEW).post("/invalidate-cache/1").await.status,
        401
    );
    let warnings = warnings().join("\n");
    assert!(warnings.contains("has no key in it"), "{warnings}");
    assert!(
        warnings.contains("line 2: a key has at least 16 bytes, this one has 5"),
        "{warnings}"
    );
    assert!(
        !warnings.contains("short\"") && !warnings.contains(NEW),
        "{warnings}"
    );
    fs::write(&file, NEW).unwrap();
    becomes(&with(&api, NEW), 200).await;
}

#[tokio::test]
async fn a_key_is_in_no_log_no_metric_and_no_answer() {
    let secret = Secret::of(&[OLD]);
    let command = ApiCommand::new()
        .env("RECKON_API_KEYS", secret.path())
        .env("RUST_LOG", "trace");
    let mut api = start(secret.0.path(), command).await;
    let mut said = Vec::new();
    for key in [OLD, WRONG] {
        for path in [
            "/invalidate-cache/1",
            "/invalidate-cache/x",
            "/warm-cache",
            "/recommend/1",
            "/nothing",
        ] {
            let answer = with(&api, key).post(path).await;
            said.push(format!("{:?} {}", answer.headers, answer.body));
        }
        said.push(with(&api, key).get("/stats").await.body);
    }
    assert_eq!(api.client().post("/invalidate-cache/1").await.status, 401);
    let metrics = api.ops().get("/metrics").await.body;
    for line in [
        r#"reckon_http_rejections_total{reason="no_key"} 1"#,
        r#"reckon_http_rejections_total{reason="wrong_key"} 4"#,
        r#"reckon_http_rejections_total{reason="rate_limit"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
    said.push(metrics);
    secret.put(&[NEW, "tooshort"]);
    eventually(TIMEOUT, async || {
        let logs = api.process.logs();
        logs.iter().any(|line| line.contains("this one has 8"))
    })
    .await;
    api.process.signal(crate::harness::process::Signal::INT);
    api.process.exit(TIMEOUT).await;
    said.extend(api.process.logs());
    assert!(said.iter().any(|line| line.contains("serving")), "no log");
    for key in [OLD, NEW, WRONG, "tooshort"] {
        let leak = said.iter().find(|line| line.contains(key));
        assert!(leak.is_none(), "{key} in {leak:?}");
    }
}

#[tokio::test]
async fn invalid_keys_fail_the_start_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    let shown = file.display().to_string();
    for (text, reason) in [
        (
            None,
            "cannot be read: No such file or directory (os error 2)",
        ),
        (Some(""), "has no key in it"),
        (
            Some("# one\nfifteen-bytes-x"),
            "line 2: a key has at least 16 bytes, this one has 15",
        ),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let mut api = ApiCommand::new().env("RECKON_API_KEYS", &file).spawn();
        let exit = api.process.exit(TIMEOUT).await;
        assert_eq!(exit.status.code(), Some(1));
        assert_eq!(
            api.process.logs(),
            [format!(
                "error: the keys file {shown} (RECKON_API_KEYS): {reason}"
            )]
        );
    }
}

#[tokio::test]
async fn without_keys_only_local_requests_may_mutate_unless_authentication_is_off() {
    let directory = tempfile::tempdir().unwrap();
    let everywhere = |command: ApiCommand| {
        let port = crate::harness::port::Port::take();
        let address = format!("0.0.0.0:{}", port.number());
        let client = Client::new(format!("http://{}", port.address()));
        (command.env("RECKON_LISTEN", address), client, port)
    };
    let (command, client, _port) = everywhere(ApiCommand::new());
    let api = start(directory.path(), command).await;
    let answer = client.post("/invalidate-cache/1").await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(client.get("/recommend/1").await.status, 200);
    let warned = async |api: &ApiProcess, text: &str| {
        eventually(TIMEOUT, async || {
            let logs = api.process.logs();
            logs.iter().any(|line| line.contains(text))
        })
        .await;
    };
    warned(&api, "are answered 403").await;

    let file = directory.path().join("keys");
    fs::write(&file, OLD).unwrap();
    let opened = ApiCommand::new()
        .env("RECKON_AUTH", "off")
        .env("RECKON_API_KEYS", &file);
    let (command, client, _port) = everywhere(opened);
    let api = start(directory.path(), command).await;
    assert_eq!(client.post("/invalidate-cache/1").await.status, 200);
    warned(&api, "RECKON_AUTH=off").await;

    let api = start(directory.path(), ApiCommand::new()).await;
    assert_eq!(api.client().post("/invalidate-cache/1").await.status, 200);
    warned(&api, "no API keys are configured").await;
    for (name, value) in [
        ("x-forwarded-for", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("via", "1.1 proxy"),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("host", "evil.example"),
    ] {
        let client = api.client().with_header(name, value);
        for path in ["/invalidate-cache/all", "/warm-cache?user_ids=1"] {
            let answer = client.post(path).await;
            assert_eq!(answer.status, 403, "{name} {}", answer.body);
        }
        assert_eq!(client.get("/recommend/1").await.status, 200, "{name}");
    }
    let metrics = api.ops().get("/metrics").await.body;
    let counted = r#"reckon_http_rejections_total{reason="not_direct"} 12"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn without_keys_the_403_for_a_request_through_a_proxy_explains_the_remedy() {
    let service = guarded(Access::Local);
    let direct = Request::post("/invalidate-cache/1").header("host", "localhost");
    assert_eq!(service.send(direct.body(()).unwrap()).await.status, 200);
    let forwarded = Request::post("/invalidate-cache/1").header("x-forwarded-for", "203.0.113.9");
    let answer = service.send(forwarded.body(()).unwrap()).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    insta::assert_snapshot!(answer.json()["detail"].as_str().unwrap(), @"no API key is configured, so only programs on the same machine may send this request; the X-Forwarded-* header shows that it came through a proxy or from a web page; set RECKON_API_KEYS, or RECKON_AUTH=off to disable authentication");
}
