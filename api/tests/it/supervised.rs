//! Tasks that panic are restarted, and their resources are released.

use crate::harness::eventually::eventually;
use crate::scripted::{Script, ScriptedStore};
use crate::service::Service;
use reckon_api::loader::Availability;
use reckon_api::store::Reason;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// The prober's period, plus the delay of a busy machine.
const SOON: Duration = Duration::from_secs(20);
/// The scripted store's limit for a statement, and the grace beyond it.
const LIMIT: Duration = Duration::from_millis(100 + 500);

/// A service whose store has one worker and never waits for a cached answer.
fn service() -> (Arc<Script>, Service) {
    let script = Arc::new(Script::default());
    let tuning = Tuning::parse("{store: {poolSize: 2}}").unwrap().tuning;
    let service = Service::over(ScriptedStore(Arc::clone(&script)), tuning);
    (script, service)
}

fn restarts(service: &Service, task: &str) -> u64 {
    let name = format!("reckon_task_restarts_total{{task=\"{task}\"}} ");
    let metrics = service.metrics.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_worker_that_panics_releases_its_connection_and_restarts_after_its_statement_has_ended() {
    let (script, service) = service();
    assert_eq!(service.get("/recommend/1").await.status, 200);
    let loader = &service.metrics.loader;
    assert_eq!((loader.open.get(), loader.busy.get()), (1, 0));

    script.panics.store(true, SeqCst);
    let answer = service.get("/recommend/2").await;
    let panicked = Instant::now();
    assert_eq!(answer.status, 503, "{}", answer.body);
    eventually(SOON, async || restarts(&service, "connection_worker") == 1).await;
    assert_eq!((loader.open.get(), loader.busy.get()), (0, 0));
    script.panics.store(false, SeqCst);

    // Not before it is proven that the server no longer runs the statement.
    let probes = script.probes.load(SeqCst);
    eventually(SOON, async || loader.open.get() == 1).await;
    let after = panicked.elapsed();
    assert!(after >= LIMIT, "{after:?}");
    assert!(script.probes.load(SeqCst) >= probes + 2);
    assert_eq!(service.get("/recommend/2").await.status, 200);
    assert_eq!(service.metrics.tasks.trouble(), None);
    println!("a new connection {after:?} after the panic");
}

#[tokio::test]
async fn a_prober_that_panics_is_an_outage_until_the_next_one_answers() {
    let (script, service) = service();
    assert_eq!(service.get("/recommend/1").await.status, 200);

    script.probes_panic.store(true, SeqCst);
    let availability = service.recommender.loader().availability();
    eventually(SOON, async || {
        service.recommender.loader().probe(Duration::ZERO).await;
        *availability.borrow() == Availability::Down(Reason::Other)
    })
    .await;
    assert_eq!(service.metrics.loader.prober_open.get(), 0);
    assert_eq!(service.metrics.loader.up.get(), 0);
    assert_eq!(service.get("/recommend/2").await.status, 503);

    script.probes_panic.store(false, SeqCst);
    let began = Instant::now();
    eventually(SOON, async || {
        service.get("/recommend/2").await.status == 200
    })
    .await;
    assert!(restarts(&service, "prober") >= 1);
    println!("answers again after {:?}", began.elapsed());
}
