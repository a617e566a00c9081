//! After an invalidation, no client gets an older answer, even if loads are in flight.

use crate::scripted::{Script, ScriptedStore};
use crate::service::Service;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const INTERLEAVINGS: u64 = 1500;

/// The number in an answer.
pub fn served(body: &str) -> u64 {
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let category = &body["recommendations"]["recommended_categories"][0];
    category.as_str().unwrap().parse().unwrap()
}

/// Readers run all the time. A writer increases the true number and invalidates. From then on, no new request may get a
/// smaller number.
async fn readers_and_a_writer(seed: u64, invalidate: &'static str) -> (u64, u64) {
    fastrand::seed(seed);
    let script = Arc::new(Script::default());
    script.yields.store(6, SeqCst);
    let service = Arc::new(Service::over(
        ScriptedStore(Arc::clone(&script)),
        Tuning::default(),
    ));
    let promised = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (service, promised) = (Arc::clone(&service), Arc::clone(&promised));
        tasks.spawn(async move {
            for _ in 0..6 {
                let at_least = promised.load(SeqCst);
                let answer = service.get("/recommend/1").await;
                assert_eq!(answer.status, 200, "{}", answer.body);
                let served = served(&answer.body);
                assert!(
                    served >= at_least,
                    "interleaving {seed}: {served} after the invalidation of {at_least}"
                );
                for _ in 0..fastrand::u8(0..4) {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let truth = Arc::clone(&script);
    let writer = Arc::clone(&service);
    tasks.spawn(async move {
        for _ in 0..5 {
            for _ in 0..fastrand::u8(0..12) {
                tokio::task::yield_now().await;
            }
            let now = truth.truth.fetch_add(1, SeqCst) + 1;
            assert_eq!(writer.send_request("POST", invalidate).await.status, 200);
            promised.store(now, SeqCst);
        }
    });
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let last = served(&service.get("/recommend/1").await.body);
    assert_eq!(last, script.truth.load(SeqCst));
    (script.statements.load(SeqCst), last)
}

#[tokio::test]
async fn no_older_answer_after_an_invalidation_in_any_of_1500_interleavings() {
    let mut statements = 0;
    for seed in 0..INTERLEAVINGS {
        let invalidate = [
            "/invalidate-cache/1",
            "/invalidate-cache?user_ids=1,2",
            "/invalidate-cache/all",
        ];
        statements += readers_and_a_writer(seed, invalidate[usize::try_from(seed % 3).unwrap()])
            .await
            .0;
    }
    // Most of the five changes of each interleaving happened during a load.
    assert!(statements > 4 * INTERLEAVINGS, "{statements} statements");
    println!("{INTERLEAVINGS} interleavings, {statements} loads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_older_answer_after_an_invalidation_on_several_threads() {
    for seed in 0..200 {
        readers_and_a_writer(seed, "/invalidate-cache/1").await;
    }
}

#[tokio::test]
async fn no_stale_answer_after_an_invalidation() {
    let script = Arc::new(Script::default());
    let mut tuning = Tuning::default();
    tuning.cache.memory.ttl_seconds = 1;
    let service = Service::over(ScriptedStore(Arc::clone(&script)), tuning);
    assert_eq!(service.get("/recommend/1").await.header("x-cache"), "MISS");
    script.broken.store(true, SeqCst);
    let aged =
        crate::harness::eventually::eventually(std::time::Duration::from_secs(5), || async {
            let answer = service.get("/recommend/1").await;
            (answer.status == 200 && answer.header("x-cache") == "STALE").then_some(answer)
        })
        .await;
    assert_eq!(served(&aged.body), 0);
    service.send_request("POST", "/invalidate-cache/1").await;
    let refused = service.get("/recommend/1").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"));
}
