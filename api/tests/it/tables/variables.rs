//! The program with only the original's variables, and with the single setting that restores the original's answers.

use super::insert_vectors;
use crate::golden::{Vector, vectors};
use crate::harness::api_process::{ApiCommand, ApiProcess};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::original_tables::OriginalTables;
use crate::harness::redis_server::RedisServer;
use crate::harness::sql_server::Flavour;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;

async fn all_answers_are_right(api: &ApiProcess, is_classic: bool) {
    let client = api.client();
    for (user, vector) in (1000..).zip(vectors()) {
        let answer = client.get(&format!("/recommend/{user}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut fields = answer.json();
        fields.as_object_mut().unwrap().remove("message");
        let mut expected = vector.answer(user);
        if !is_classic {
            assert_own(&fields, &vector);
            expected["metadata"]["algorithm"] = "NextBasket".into();
            for list in ["recommended_categories", "explore_categories"] {
                expected["recommendations"][list] = fields["recommendations"][list].clone();
            }
        }
        assert_eq!(fields, expected);
    }
    let health = client.get("/health").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["database"]),
        (200, &"connected".into()),
        "{}",
        health.body
    );
}

/// By default the first ten of the user's categories are recommended.
fn assert_own(answer: &Value, vector: &Vector) {
    let rows = vector.searches.iter().chain(&vector.purchases).flatten();
    let own: BTreeSet<&str> = rows
        .map(String::as_str)
        .filter(|name| !name.is_empty())
        .collect();
    let names = |list: &str| -> BTreeSet<&str> {
        let names = answer["recommendations"][list].as_array().unwrap().iter();
        names.map(|name| name.as_str().unwrap()).collect()
    };
    let (recommended, explore) = (names("recommended_categories"), names("explore_categories"));
    assert_eq!(recommended.len(), own.len().min(10), "{answer}");
    assert_eq!(
        explore.len(),
        (own.len() - recommended.len()).min(5),
        "{answer}"
    );
    assert!(
        recommended.is_subset(&own) && explore.is_subset(&own),
        "{answer}"
    );
    assert!(recommended.is_disjoint(&explore), "{answer}");
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
    for (more, is_classic) in [(Vec::new(), false), (others, false), (Vec::new(), true)] {
        let began = Instant::now();
        let mut command = ApiCommand::new()
            .envs(server.environment("reckon"))
            .envs(more.iter().map(|(name, value)| (*name, value)));
        if is_classic {
            command = command.classic();
        }
        let mut api = command.spawn();
        api.ready().await;
        let ready = began.elapsed();
        all_answers_are_right(&api, is_classic).await;
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
