//! A server that does not let the service in, or throws it out.

use super::connections::{MAX_AGE, aging};
use super::scene::{POOL, Scene, UNKNOWN, WELL_WITHIN, fill, most_connections};
use super::tables::{pace, paced};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::{Flavour, RECKON, SqlServer, User};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::time::{Duration, Instant};

/// What the service is told to use, and the account gets later.
const ANOTHER: &str = "another-password";

pub async fn a_password_that_is_wrong_and_one_that_is_changed(flavour: Flavour) {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let name = format!("password {flavour:?}");
    let mut scene = Scene::over(&name, server, |api| api.env("DB_PASSWORD", ANOTHER)).await;
    scene.count_connections().await;
    let load = scene.keep_asking();
    scene.is_down("access denied").await;
    scene.is_ready(false).await;
    change_password(&scene.server, ANOTHER).await;
    scene.is_well_again().await;

    // So that there are users again that nobody asked for.
    assert_eq!(scene.client.post("/invalidate-cache/all").await.status, 200);
    scene.remember().await;
    change_password(&scene.server, RECKON.password).await;
    kill_sessions(&mut scene.server.admin().await).await;
    scene.is_down("access denied").await;
    scene.prober_reports_outage().await;
    scene.is_ready(true).await;
    scene.cached_answers_are_served().await;
    change_password(&scene.server, ANOTHER).await;
    scene.is_well_again().await;
    load.stop().await;
    scene.logs_are_short(&["access denied", "access denied"], 2);
}

pub async fn a_database_that_is_made_later(flavour: Flavour) {
    let server = flavour.start().await;
    fill(&server, "reckon").await;
    let name = format!("database {flavour:?}");
    let mut scene = Scene::over(&name, server, |api| api.env("DB_NAME", "reckon_later")).await;
    scene.count_connections().await;
    let load = scene.keep_asking();
    scene.is_down("unknown database").await;
    scene.is_ready(false).await;
    scene.server.execute("CREATE DATABASE reckon_later").await;
    scene.is_down("missing table or column").await;
    scene
        .server
        .execute("RENAME TABLE reckon.searches TO reckon_later.searches, reckon.purchase TO reckon_later.purchase")
        .await;
    scene.is_well_again().await;
    load.stop().await;
    scene.logs_are_short(&["unknown database", "missing table or column"], 1);
}

pub async fn a_server_without_a_place_for_the_service(flavour: Flavour) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let sampler = server.sample_connections(RECKON.name).await;
    let crowd = crowd(&server).await;
    let name = format!("crowded {flavour:?}");
    let mut scene = Scene::over(&name, server, |api| api).await;
    scene.is_crowded = true;
    let load = scene.keep_asking();
    scene.is_down("too many connections").await;
    scene.is_ready(false).await;
    println!("{name}: {} others", crowd.len());
    leave(crowd).await;
    scene.count_with(sampler);
    scene.is_well_again().await;
    load.stop().await;
    scene.logs_are_short(&["too many connections"], 1);
}

pub async fn a_server_with_a_place_for_the_prober_and_then_for_one_more(flavour: Flavour) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let name = format!("half crowded {flavour:?}");
    let mut scene = Scene::over(&name, server, |api| api).await;
    scene.is_crowded = true;
    scene.count_connections().await;
    scene.api.ready().await;
    let mut crowd = crowd(&scene.server).await;
    let load = scene.keep_asking();
    // The only connection is the prober's.
    scene.is_down("too many connections").await;
    scene.is_ready(true).await;
    // One connection is enough for everybody.
    leave(vec![crowd.pop().unwrap()]).await;
    eventually(WELL_WITHIN, async || scene.ask(UNKNOWN).await.status == 200).await;
    let health = scene.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    load.stop().await;
    for round in 0..10 {
        let users = UNKNOWN + 1 + round * 8..UNKNOWN + 9 + round * 8;
        let paths = users.map(|user| format!("/recommend/{user}"));
        for answer in scene.client.get_at_once(paths).await {
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
    leave(crowd).await;
    scene.is_well_again().await;
}

pub async fn a_server_with_a_place_for_one_of_several_that_want_it(flavour: Flavour) {
    let server = flavour.start_with(&["--max-connections=20"]).await;
    fill(&server, "reckon").await;
    let name = format!("one place {flavour:?}");
    let mut scene = Scene::over(&name, server, |api| api).await;
    scene.is_crowded = true;
    scene.count_connections().await;
    scene.api.ready().await;
    let mut crowd = crowd(&scene.server).await;
    leave(vec![crowd.pop().unwrap()]).await;
    eventually(WELL_WITHIN, async || scene.ask(UNKNOWN).await.status == 200).await;
    // Who finds no place leaves the work to the one who did.
    let paths = (UNKNOWN + 1..UNKNOWN + 65).map(|user| format!("/recommend/{user}"));
    for answer in scene.client.get_at_once(paths).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let open = scene
        .figure("reckon_store_connections{state=\"open\"}")
        .await;
    assert_eq!(open, 1);
    println!("{name}: 64 users at once over {open} connection");
    leave(crowd).await;
    scene.is_well_again().await;
}

pub async fn sessions_that_are_killed_while_idle(flavour: Flavour) {
    let scene = Scene::ready(&format!("killed idle {flavour:?}"), flavour).await;
    let mut admin = scene.server.admin().await;
    // A connection counts as idle, and is tried before it is used, after 10 ms.
    tokio::time::sleep(Duration::from_millis(20)).await;
    let killed = kill_sessions(&mut admin).await;
    let none_is_left = async || {
        let left = sessions(&mut scene.server.admin().await).await;
        !left.iter().any(|id| killed.contains(id))
    };
    eventually(WELL_WITHIN, none_is_left).await;
    // Nobody notices: not who asks, nor for health.
    let health = scene.client.get("/health").await;
    assert_eq!(health.status, 200, "{}", health.body);
    for user in UNKNOWN..UNKNOWN + 20 {
        let answer = scene.ask(user).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    println!("killed idle {flavour:?}: {} sessions", killed.len());
    scene.is_well_again().await;
    let logs = scene.api.process.logs();
    assert!(
        !logs.iter().any(|line| line.contains("store unavailable")),
        "{logs:#?}"
    );
}

pub async fn sessions_that_are_killed_while_busy(flavour: Flavour) {
    let name = format!("killed busy {flavour:?}");
    let mut scene = paced(&name, flavour).await;
    pace(&scene.server, 0.02).await;
    let load = scene.keep_asking();
    let mut admin = scene.server.admin().await;
    let mut killed = Vec::new();
    let mut most = 0;
    for _ in 0..8 {
        eventually(WELL_WITHIN, async || {
            scene.server.sessions(RECKON.name).await.running > 1
        })
        .await;
        killed.extend(kill_sessions(&mut admin).await);
        // Between two attacks some work is done. The server lists a killed session until it has ended it.
        for _ in 0..20 {
            let ours = sessions(&mut admin).await;
            most = most.max(ours.iter().filter(|id| !killed.contains(id)).count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    assert!(i64::try_from(most).unwrap() <= most_connections(), "{most}");
    eventually(WELL_WITHIN, async || {
        let left = sessions(&mut scene.server.admin().await).await;
        !left.iter().any(|id| killed.contains(id))
    })
    .await;
    scene.count_connections().await;
    pace(&scene.server, 0.0).await;
    scene.is_well_again().await;
    println!(
        "{name}: {} sessions killed, at most {most} others",
        killed.len()
    );
    let tally = load.stop().await;
    assert!(tally.count("MISS") > 0);
    scene.has_few_connections().await;
}

pub async fn a_prober_that_alone_is_refused_after_an_outage(flavour: Flavour) {
    let scene = Scene::ready(&format!("prober refused {flavour:?}"), flavour).await;
    let load = scene.keep_asking();
    every_connection_is_open(&scene).await;
    load.stop().await;
    let rename = "RENAME TABLE reckon.searches TO reckon.renamed";
    scene.server.execute(rename).await;
    scene.is_down("missing table or column").await;
    change_password(&scene.server, ANOTHER).await;
    let mut admin = scene.server.admin().await;
    // The first connection of the process is the prober's.
    let prober = sessions(&mut admin).await.into_iter().min().unwrap();
    kill(&mut admin, prober).await;
    scene.is_unhealthy("access denied").await;
    let rename = "RENAME TABLE reckon.renamed TO reckon.searches";
    scene.server.execute(rename).await;
    scene.is_well_again().await;
    let open = sessions(&mut admin).await.len();
    println!("prober refused {flavour:?}: {open} connections of workers answer");
}

pub async fn connections_that_grow_old_while_the_server_admits_no_others(flavour: Flavour) {
    let name = format!("old and refused {flavour:?}");
    let (scene, _tuning) = aging(&name, flavour).await;
    let load = scene.keep_asking();
    every_connection_is_open(&scene).await;
    change_password(&scene.server, ANOTHER).await;
    let mut admin = scene.server.admin().await;
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
    change_password(&scene.server, RECKON.password).await;
    eventually(5 * MAX_AGE, async || {
        let left = sessions(&mut scene.server.admin().await).await;
        !left.iter().any(|id| old.contains(id))
    })
    .await;
    scene.is_well_again().await;
}

async fn every_connection_is_open(scene: &Scene) {
    eventually(WELL_WITHIN, async || {
        scene.server.sessions(RECKON.name).await.open == POOL
    })
    .await;
}

async fn change_password(server: &SqlServer, password: &str) {
    let name = RECKON.name;
    server
        .execute(format!("ALTER USER {name}@'%' IDENTIFIED BY '{password}'"))
        .await;
}

/// Ends every session of the service; says which.
async fn kill_sessions(admin: &mut MySqlConnection) -> Vec<i64> {
    let ids = sessions(admin).await;
    for id in &ids {
        kill(admin, *id).await;
    }
    ids
}

/// Ends a session; one that has gone by itself is as good.
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
async fn crowd(server: &SqlServer) -> Vec<MySqlConnection> {
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
    let mut crowd = Vec::new();
    loop {
        match MySqlConnection::connect_with(&options).await {
            Ok(connection) => crowd.push(connection),
            Err(sqlx::Error::Database(error)) if error.message().contains("Too many") => {
                return crowd;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn leave(crowd: Vec<MySqlConnection>) {
    for connection in crowd {
        connection.close().await.unwrap();
    }
}
