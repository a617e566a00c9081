//! An impostor answers at the database's address: it does not get the password, the process stays small, and answers
//! are right again when the true server is back.

use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::eventually::eventually;
use crate::harness::hostile_server::{HostileServer, Hostility};
use crate::harness::original_tables::{History, OriginalTables, insert};
use crate::harness::sql_server::{Flavour, RECKON, SqlServer};
use std::time::{Duration, Instant};

/// A hostile server is met several times: the pauses between attempts grow to some seconds.
const ATTACKED: Duration = Duration::from_mins(1);
/// Right answers so long after the true server is back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(15);
const MAX_BYTES: usize = 100 << 20;

async fn with_tables() -> SqlServer {
    let server = Flavour::MariaDb.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    let users: Vec<History> = (0..100)
        .map(|user| History::newest_first(user, &["books", "books"], &[]))
        .collect();
    insert(&server, "reckon", &users).await;
    server
}

async fn answers(api: &ApiProcess, user: usize) -> Result<(), String> {
    let answer = api.client().get(&format!("/recommend/{user}")).await;
    if answer.status != 200 {
        return Err(answer.body);
    }
    let categories = &answer.json()["recommendations"]["recommended_categories"];
    assert_eq!(categories[0], "books", "{}", answer.body);
    Ok(())
}

/// Lines of the log about panics of the prober and of workers.
fn panics(api: &ApiProcess) -> [usize; 2] {
    let logs = api.process.logs();
    ["prober", "connection_worker"].map(|task| {
        let task = format!(r#""task":"{task}""#);
        let is_panic = |line: &&String| line.contains("task panicked") && line.contains(&task);
        logs.iter().filter(is_panic).count()
    })
}

#[tokio::test]
async fn the_process_survives_every_hostile_server_and_soon_serves_from_the_real_one() {
    let mut server = with_tables().await;
    let api = ApiCommand::new().envs(server.environment("reckon")).spawn();
    api.ready().await;
    answers(&api, 99).await.unwrap();

    for (user, hostility) in Hostility::ALL.into_iter().enumerate() {
        server.process.kill();
        let hostile = HostileServer::start(server.port(), hostility);
        let before = panics(&api);
        eventually(ATTACKED, async || {
            // Somebody wants an answer all the while.
            let answer = api.client().get(&format!("/recommend/{user}")).await;
            assert_eq!(answer.status, 503, "{}", answer.body);
            // The prober has connected to it too.
            let metrics = api.ops().get("/metrics").await.body;
            hostile.connections() >= 3 && metrics.contains("reckon_store_up 0\n")
        })
        .await;
        for (after, before) in panics(&api).into_iter().zip(before) {
            let new = after - before;
            assert!(new <= 1, "{hostility:?}: {new} lines of the same panic");
        }
        let live = api.ops().get("/livez").await;
        assert_eq!(live.status, 200, "{}", live.body);
        let is_taken = hostile.has_received(RECKON.password);
        drop(hostile);

        server.start().await;
        let back = Instant::now();
        eventually(RECOVERED_WITHIN, async || answers(&api, user).await).await;
        let resident = api.process.peak_resident_bytes();
        println!(
            "{hostility:?}: right answers after {:.1} s, at most {} MB of memory, password taken: {is_taken}",
            back.elapsed().as_secs_f64(),
            resident >> 20
        );
        assert!(resident < MAX_BYTES, "{hostility:?}: {resident} bytes");
        // `preferred` does not protect from an RSA key or a certificate of an impostor.
        let may_be_taken = matches!(hostility, Hostility::OwnKey | Hostility::OwnCertificate);
        assert_eq!(is_taken, may_be_taken, "{hostility:?}");
    }
    let metrics = api.ops().get("/metrics").await.body;
    let restarts = metrics
        .lines()
        .filter(|line| line.starts_with("reckon_task_restarts_total"));
    println!("{:#?}", restarts.collect::<Vec<_>>());
    for task in ["prober", "connection_worker"] {
        let none = format!("reckon_task_restarts_total{{task=\"{task}\"}} 0\n");
        assert!(
            !metrics.contains(&none),
            "no panic of a {task} was survived"
        );
    }
}

#[tokio::test]
async fn an_unverified_server_gets_no_part_of_the_password() {
    let trusted = crate::harness::authority::Authority::new();
    for mode in ["verify-ca", "verify-full"] {
        for hostility in Hostility::ALL {
            let port = crate::harness::port::Port::take();
            let hostile = HostileServer::start(port.number(), hostility);
            let api = ApiCommand::new()
                .env("DB_HOST", "127.0.0.1")
                .env("DB_PORT", port.number().to_string())
                .env("DB_USER", "the-user")
                .env("DB_PASSWORD", "the-secret-password")
                .env("DB_TLS", mode)
                .env("DB_TLS_CA", trusted.certificate())
                .spawn();
            eventually(ATTACKED, async || hostile.connections() >= 2).await;
            for word in ["the-user", "the-secret-password"] {
                assert!(!hostile.has_received(word), "{mode} {hostility:?}: {word}");
            }
            println!("{mode} {hostility:?}: {} bytes", hostile.received().len());
            drop(api);
        }
    }
}

#[tokio::test]
async fn an_unverified_server_that_requests_the_password_in_clear_text_gets_none() {
    for mode in ["disabled", "preferred", "required"] {
        let port = crate::harness::port::Port::take();
        let hostile = HostileServer::start(port.number(), Hostility::ClearPassword);
        let api = ApiCommand::new()
            .env("DB_HOST", "127.0.0.1")
            .env("DB_PORT", port.number().to_string())
            .env("DB_PASSWORD", "the-secret-password")
            .env("DB_TLS", mode)
            .spawn();
        eventually(ATTACKED, async || hostile.connections() >= 2).await;
        assert!(!hostile.has_received("the-secret-password"), "{mode}");
        api.live().await;
        let line = eventually(ATTACKED, async || {
            let logs = api.process.logs();
            logs.into_iter()
                .find(|line| line.contains("store unavailable"))
        })
        .await;
        println!("{mode}: {line}");
        assert!(line.contains("mysql_clear_password"), "{line}");
        assert!(line.contains(r#""reason":"tls""#), "{line}");
    }
}
