//! The program with the original's variables and nothing else.

use super::insert_vectors;
use crate::golden::vectors;
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::OriginalTables;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use std::time::Instant;

async fn all_answers_are_right(api: &ApiProcess) {
    let client = api.client();
    for (user, vector) in (1000..).zip(vectors()) {
        let answer = client.get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut fields = answer.json();
        fields.as_object_mut().unwrap().remove("message");
        assert_eq!(fields, vector.answer(user));
    }
    let health = client.get("/health").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["database"]),
        (200, &"connected".into()),
        "{}",
        health.body
    );
}

async fn the_program_serves_the_originals_tables_with_the_originals_variables(flavour: Flavour) {
    let server = flavour.start().await;
    OriginalTables::default().create(&server, "reckon").await;
    insert_vectors(&server, "reckon", &vectors()).await;
    let redis = RedisServer::running().await;
    let mut others = redis.environment();
    others.extend([
        ("WORKERS", "2".to_owned()),
        ("MAX_CONNECTIONS", "1000".to_owned()),
    ]);
    for more in [Vec::new(), others] {
        let began = Instant::now();
        let mut api = ApiCommand::new()
            .envs(server.environment("reckon"))
            .envs(more.iter().map(|(name, value)| (*name, value)))
            .spawn();
        api.ready().await;
        let ready = began.elapsed();
        all_answers_are_right(&api).await;
        println!(
            "{flavour:?}: ready after {ready:?}, 100 of 100 over HTTP after {:?} with {more:?} too",
            began.elapsed()
        );
        api.process.signal(crate::harness::process::Signal::INT);
        let exit = api.process.exit(std::time::Duration::from_secs(10)).await;
        assert!(exit.status.success(), "{exit:?}");
        let complaints: Vec<_> = api
            .process
            .logs()
            .into_iter()
            .filter(|line| line.contains("WARN") || line.contains("ERROR"))
            .filter(|line| !line.contains("no API keys are configured"))
            .collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

on_each_flavour!(the_program_serves_the_originals_tables_with_the_originals_variables);
