//! A server that rejects the service, or ends its sessions.

use super::connections::{MAX_AGE, aging};
use super::fixture::{Fixture, POOL, RECOVERED_WITHIN, UNCACHED, fill, most_connections};
use super::tables::{pace, paced};
use crate::harness::api_process::ApiCommand;
use crate::harness::eventually::eventually;
use crate::harness::own_network::NamedAddress;
use crate::harness::sql_server::{Flavour, RECKON, ROOT, SqlServer, User};
use crate::harness::watchdog::Scratch;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What the service is told to use, and the account gets later.
const NEW_PASSWORD: &str = "another-password";

pub async fn a_wrong_password_and_a_changed_one(flavour: Flavour) {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let name = format!("password {flavour:?}");
    let mut fixture =
        Fixture::over(&name, server, |api| api.env("DB_PASSWORD", NEW_PASSWORD)).await;
    fixture.count_connections().await;
    let load = fixture.send_load();
    fixture.becomes_unavailable("access denied").await;
    fixture.is_ready(false).await;
    change_password(&fixture.server, NEW_PASSWORD).await;
    fixture.recovers().await;

    // So that there are users again that nobody asked for.
    assert_eq!(
        fixture.client.post("/invalidate-cache/all").await.status,
        200
    );
    fixture.fill_cache().await;
    change_password(&fixture.server, RECKON.password).await;
    kill_sessions(&mut fixture.server.admin().await).await;
    fixture.becomes_unavailable("access denied").await;
    fixture.prober_reports_outage().await;
    fixture.is_ready(true).await;
    fixture.cached_answers_are_served().await;
    change_password(&fixture.server, NEW_PASSWORD).await;
    fixture.recovers().await;
    load.stop().await;
    fixture.logs_are_short(&["access denied", "access denied"], 2);
}

/// The server ends such a session at once (error 1862), or accepts it and rejects every statement (1820).
pub async fn a_password_that_has_expired(flavour: Flavour) {
    for (ends_session, number) in [("ON", 1862), ("OFF", 1820)] {
        let setting = format!("--disconnect-on-expired-password={ends_session}");
        let server = flavour.start_with(&[&setting]).await;
        fill(&server, "reckon").await;
        let name = format!("expired {ends_session} {flavour:?}");
        let fixture = Fixture::ready_over(&name, server).await;
        let expire = format!("ALTER USER {}@'%' PASSWORD EXPIRE", RECKON.name);
        fixture.server.execute(expire).await;
        kill_sessions(&mut fixture.server.admin().await).await;
        fixture.becomes_unavailable("access denied").await;
        logs_number(&fixture, number);
        change_password(&fixture.server, NEW_PASSWORD).await;
        change_password(&fixture.server, RECKON.password).await;
        fixture.recovers().await;
        fixture.logs_are_short(&["access denied"], 1);
    }
}

/// No account at all may connect from the service's address.
pub async fn a_host_that_is_not_allowed(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("not allowed {flavour:?}"), flavour).await;
    // This session remains, and can undo it.
    let mut admin = fixture.server.admin().await;
    let mut move_accounts = async |from: &str, to: &str| {
        for name in [RECKON.name, ROOT.name] {
            let rename = format!("RENAME USER {name}@'{from}' TO {name}@'{to}'");
            admin
                .execute(sqlx::raw_sql(AssertSqlSafe(rename)))
                .await
                .unwrap();
        }
        // Only this updates the list of hosts.
        admin.execute("FLUSH PRIVILEGES").await.unwrap();
        kill_sessions(&mut admin).await;
    };
    let elsewhere = "192.0.2.1";
    move_accounts("%", elsewhere).await;
    fixture.becomes_unavailable("access denied").await;
    logs_number(&fixture, 1130);
    move_accounts(elsewhere, "%").await;
    fixture.recovers().await;
    fixture.logs_are_short(&["access denied"], 1);
}

/// Runs in a network of its own: servers never block 127.0.0.1, nor hosts without a name.
pub async fn a_host_that_is_blocked() {
    let _address = NamedAddress::add();
    // With names, 127.0.0.1 is localhost, whose root has no password.
    let directory = Scratch::new(&std::env::temp_dir(), "reckon-blocked-");
    let init = directory.path().join("init.sql");
    std::fs::write(&init, "DROP USER root@localhost;\n").unwrap();
    let settings = [
        "--max-connect-errors=1",
        "--skip-name-resolve=OFF",
        "--bind-address=0.0.0.0",
        &format!("--init-file={}", init.display()),
    ];
    let server = Flavour::MariaDb.start_with(&settings).await;
    fill(&server, "reckon").await;
    let over = |api: ApiCommand| api.env("DB_HOST", NamedAddress::NUMBER);
    let mut fixture = Fixture::over("blocked", server, over).await;
    fixture.count_connections().await;
    fixture.api.ready().await;
    fixture.fill_cache().await;
    // Another program on the same host hangs up before the login.
    for _ in 0..2 {
        let peer = (NamedAddress::NUMBER, fixture.server.port());
        let mut connection = TcpStream::connect(peer).await.unwrap();
        connection.read_u8().await.unwrap();
    }
    let mut admin = fixture.server.admin().await;
    kill_sessions(&mut admin).await;
    fixture.becomes_unavailable("access denied").await;
    logs_number(&fixture, 1129);
    admin.execute("FLUSH HOSTS").await.unwrap();
    fixture.recovers().await;
    fixture.logs_are_short(&["access denied"], 1);
}

/// The log's line about the outage has the server's number of the error.
fn logs_number(fixture: &Fixture, number: u16) {
    let logs = fixture.api.process.logs();
    let error = format!("error returned from database: {number}");
    let says = |line: &&String| line.contains("store unavailable") && line.contains(&error);
    let line = logs.iter().find(says);
    println!("{}", line.unwrap_or_else(|| panic!("{logs:#?}")));
}

pub async fn a_database_that_is_created_later(flavour: Flavour) {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let name = format!("database {flavour:?}");
    let mut fixture = Fixture::over(&name, server, |api| api.env("DB_NAME", "reckon_later")).await;
    fixture.count_connections().await;
    let load = fixture.send_load();
    fixture.becomes_unavailable("unknown database").await;
    fixture.is_ready(false).await;
    fixture.server.execute("CREATE DATABASE reckon_later").await;
    fixture.becomes_unavailable("missing table or column").await;
    fixture
        .server
        .execute("RENAME TABLE reckon.searches TO reckon_later.searches, reckon.purchase TO reckon_later.purchase")
        .await;
    fixture.recovers().await;
    load.stop().await;
    fixture.logs_are_short(&["unknown database", "missing table or column"], 1);
}

pub async fn a_server_without_a_free_connection(flavour: Flavour) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let sampler = server.sample_connections(RECKON.name).await;
    let others = occupy_connections(&server).await;
    let name = format!("crowded {flavour:?}");
    let mut fixture = Fixture::over(&name, server, |api| api).await;
    fixture.server_is_full = true;
    let load = fixture.send_load();
    fixture.becomes_unavailable("too many connections").await;
    fixture.is_ready(false).await;
    println!("{name}: {} others", others.len());
    close_connections(others).await;
    fixture.count_with(sampler);
    fixture.recovers().await;
    load.stop().await;
    fixture.logs_are_short(&["too many connections"], 1);
}

pub async fn a_server_with_a_free_connection_for_the_prober_and_then_for_one_worker(
    flavour: Flavour,
) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let name = format!("half crowded {flavour:?}");
    let mut fixture = Fixture::over(&name, server, |api| api).await;
    fixture.server_is_full = true;
    fixture.count_connections().await;
    fixture.api.ready().await;
    let mut others = occupy_connections(&fixture.server).await;
    let load = fixture.send_load();
    // The only connection is the prober's.
    fixture.becomes_unavailable("too many connections").await;
    fixture.is_ready(true).await;
    // One connection is enough for everybody.
    close_connections(vec![others.pop().unwrap()]).await;
    eventually(RECOVERED_WITHIN, async || {
        fixture.recommend(UNCACHED).await.status == 200
    })
    .await;
    let health = fixture.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    load.stop().await;
    for round in 0..10 {
        let users = UNCACHED + 1 + round * 8..UNCACHED + 9 + round * 8;
        let paths = users.map(|user| format!("/recommend/{user}"));
        for answer in fixture.client.get_concurrently(paths).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    close_connections(others).await;
    fixture.recovers().await;
}

pub async fn a_server_with_a_free_connection_for_only_one_worker(flavour: Flavour) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let name = format!("one place {flavour:?}");
    let mut fixture = Fixture::over(&name, server, |api| api).await;
    fixture.server_is_full = true;
    fixture.count_connections().await;
    fixture.api.ready().await;
    let mut others = occupy_connections(&fixture.server).await;
    close_connections(vec![others.pop().unwrap()]).await;
    eventually(RECOVERED_WITHIN, async || {
        fixture.recommend(UNCACHED).await.status == 200
    })
    .await;
    // Who finds no place leaves the work to the one who did.
    let paths = (UNCACHED + 1..UNCACHED + 65).map(|user| format!("/recommend/{user}"));
    for answer in fixture.client.get_concurrently(paths).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let open = fixture
        .figure("reckon_store_connections{state=\"open\"}")
        .await;
    assert_eq!(open, 1);
    println!("{name}: 64 users at once over {open} connection");
    close_connections(others).await;
    fixture.recovers().await;
}

pub async fn sessions_that_are_killed_while_idle(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("killed idle {flavour:?}"), flavour).await;
    let mut admin = fixture.server.admin().await;
    // A connection counts as idle, and is tried before it is used, after 10 ms.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let killed = kill_sessions(&mut admin).await;
    let none_is_left = async || {
        let left = sessions(&mut fixture.server.admin().await).await;
        !left.iter().any(|id| killed.contains(id))
    };
    eventually(RECOVERED_WITHIN, none_is_left).await;
    // Nobody notices: not who asks, nor for health.
    let health = fixture.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    for user in UNCACHED..UNCACHED + 20 {
        let answer = fixture.recommend(user).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    println!("killed idle {flavour:?}: {} sessions", killed.len());
    fixture.recovers().await;
    let logs = fixture.api.process.logs();
    assert!(
        !logs.iter().any(|line| line.contains("store unavailable")),
        "{logs:#?}"
    );
}

pub async fn sessions_that_are_killed_while_busy(flavour: Flavour) {
    let name = format!("killed busy {flavour:?}");
    let mut fixture = paced(&name, flavour).await;
    pace(&fixture.server, 0.02).await;
    let load = fixture.send_load();
    let mut admin = fixture.server.admin().await;
    let mut killed = Vec::new();
    let mut most = 0;
    for _ in 0..8 {
        eventually(RECOVERED_WITHIN, async || {
            fixture.server.sessions(RECKON.name).await.running > 1
        })
        .await;
        killed.extend(kill_sessions(&mut admin).await);
        // Some statements run between two kills. The server lists a killed session until it has ended.
        for _ in 0..20 {
            let ours = sessions(&mut admin).await;
            most = most.max(ours.iter().filter(|id| !killed.contains(id)).count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(i64::try_from(most).unwrap() <= most_connections(), "{most}");
    eventually(RECOVERED_WITHIN, async || {
        let left = sessions(&mut fixture.server.admin().await).await;
        !left.iter().any(|id| killed.contains(id))
    })
    .await;
    fixture.count_connections().await;
    pace(&fixture.server, 0.0).await;
    fixture.recovers().await;
    println!(
        "{name}: {} sessions killed, at most {most} others",
        killed.len()
    );
    let tally = load.stop().await;
    assert!(tally.count("MISS") > 0);
    fixture.is_within_its_connections().await;
}

pub async fn only_the_prober_is_refused_after_an_outage(flavour: Flavour) {
    let fixture = Fixture::ready(&format!("prober refused {flavour:?}"), flavour).await;
    let load = fixture.send_load();
    every_connection_is_open(&fixture).await;
    load.stop().await;
    let rename = "RENAME TABLE reckon.searches TO reckon.renamed";
    fixture.server.execute(rename).await;
    fixture.becomes_unavailable("missing table or column").await;
    change_password(&fixture.server, NEW_PASSWORD).await;
    let mut admin = fixture.server.admin().await;
    // The first connection of the process is the prober's.
    let prober = sessions(&mut admin).await.into_iter().min().unwrap();
    kill(&mut admin, prober).await;
    fixture.becomes_unhealthy("access denied").await;
    let rename = "RENAME TABLE reckon.renamed TO reckon.searches";
    fixture.server.execute(rename).await;
    fixture.recovers().await;
    let open = sessions(&mut admin).await.len();
    println!("prober refused {flavour:?}: {open} connections of workers answer");
}

pub async fn connections_that_expire_while_the_server_accepts_no_others(flavour: Flavour) {
    let name = format!("old and refused {flavour:?}");
    let (fixture, _tuning) = aging(&name, flavour).await;
    let load = fixture.send_load();
    every_connection_is_open(&fixture).await;
    change_password(&fixture.server, NEW_PASSWORD).await;
    let mut admin = fixture.server.admin().await;
    let all = usize::try_from(POOL).unwrap();
    let (began, mut fewest) = (Instant::now(), all);
    while began.elapsed() < 4 * MAX_AGE {
        fewest = fewest.min(sessions(&mut admin).await.len());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let tally = load.stop().await;
    println!(
        "{name}: never fewer than {fewest} of {all} connections in {:?}, {tally}",
        began.elapsed()
    );
    assert_eq!(fewest, all - 1);
    assert_eq!(tally.count("503"), 0);
    let old = sessions(&mut admin).await;
    change_password(&fixture.server, RECKON.password).await;
    eventually(5 * MAX_AGE, async || {
        let left = sessions(&mut fixture.server.admin().await).await;
        !left.iter().any(|id| old.contains(id))
    })
    .await;
    fixture.recovers().await;
}

async fn every_connection_is_open(fixture: &Fixture) {
    eventually(RECOVERED_WITHIN, async || {
        fixture.server.sessions(RECKON.name).await.open == POOL
    })
    .await;
}

async fn change_password(server: &SqlServer, password: &str) {
    let name = RECKON.name;
    server
        .execute(format!("ALTER USER {name}@'%' IDENTIFIED BY '{password}'"))
        .await;
}

/// Ends every session of the service; returns their ids.
async fn kill_sessions(admin: &mut MySqlConnection) -> Vec<i64> {
    let ids = sessions(admin).await;
    for id in &ids {
        kill(admin, *id).await;
    }
    ids
}

/// Ends a session. A session that has already ended is fine too.
async fn kill(admin: &mut MySqlConnection, id: i64) {
    let _ = admin
        .execute(sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}"))))
        .await;
}

/// The sessions of the service.
async fn sessions(admin: &mut MySqlConnection) -> Vec<i64> {
    sqlx::query_scalar(
        "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE user = ?",
    )
    .bind(RECKON.name)
    .fetch_all(admin)
    .await
    .unwrap()
}

/// Others, until the server takes no more.
async fn occupy_connections(server: &SqlServer) -> Vec<MySqlConnection> {
    let other = User {
        name: "other",
        password: "others-password",
    };
    server
        .execute(format!(
            "CREATE USER {}@'%' IDENTIFIED BY '{}'",
            other.name, other.password
        ))
        .await;
    let options: MySqlConnectOptions = server.options(other);
    let mut others = Vec::new();
    loop {
        match MySqlConnection::connect_with(&options).await {
            Ok(connection) => others.push(connection),
            Err(sqlx::Error::Database(error)) if error.message().contains("Too many") => {
                return others;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn close_connections(others: Vec<MySqlConnection>) {
    for connection in others {
        connection.close().await.unwrap();
    }
}
