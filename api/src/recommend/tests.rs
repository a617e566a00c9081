//! Caching, coalescing, invalidation and warming over a store in this process.

use super::{
    DETACHED_AGE, Failure, Invalidation, Miss, Recommender, Source, is_trusted, jittered,
    oldest_load,
};
use crate::cache::generation::{Generation, Generations};
use crate::cache::memory::{Entry, Until};
use crate::cache::shared::{Address, Identity, SharedCache};
use crate::{
    loader::Loader, metrics::Metrics, model::UserId, store::sqlite, store::sqlite::Sqlite,
};
use reckon_contract::Tuning;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const USER: UserId = UserId::Integer(1);

/// A recommender over a SQLite file; optionally with a shared cache that is unreachable.
fn recommender(store: &Path, is_detached: bool) -> Arc<Recommender> {
    let tuning = Tuning::default();
    let metrics = Metrics::new(&tuning);
    let loader = Loader::start(
        Sqlite::new(store, &tuning.tables),
        &tuning.store,
        100,
        Arc::clone(&metrics.loader),
        None,
    );
    let shared = is_detached.then(|| {
        let server = "127.0.0.1:1".to_owned();
        let client = redis::Client::open(format!("redis://{server}/?protocol=resp3")).unwrap();
        SharedCache::start(
            Address { client, server },
            Identity::new(Some("shop"), "", &tuning),
            Duration::from_millis(50),
            Arc::clone(&metrics.shared),
            |_| {},
        )
    });
    let generations = Arc::new(Generations::default());
    let memory = metrics.cache.memory_cache(&tuning.cache.memory);
    Arc::new(Recommender::new(
        loader,
        shared,
        (generations, memory),
        &tuning,
        metrics.cache,
        metrics.models,
    ))
}

fn entry(recommender: &Recommender, confirmed: Instant, stale_until: Instant) -> Entry {
    let until = Until {
        fresh: confirmed,
        stale: stale_until,
    };
    let generation = recommender.generations.current(&USER);
    Entry::new("{}".into(), 0, generation, confirmed, until)
}

#[tokio::test]
async fn an_answer_is_loaded_once_and_again_when_it_is_old_or_invalid() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    drop(sqlite::create(&path).await.unwrap());
    let recommender = recommender(&path, false);
    let source = async || recommender.recommend(USER).await.unwrap().source;
    assert_eq!(source().await, Source::Store);
    assert_eq!(source().await, Source::Memory);

    let one = Invalidation::Users(vec![USER]);
    // The entry of a load that began before the invalidation and ends after it.
    let later = Instant::now() + Duration::from_mins(1);
    let outdated = entry(&recommender, Instant::now(), later);
    recommender.invalidate(one).await.unwrap();
    assert_eq!(recommender.memory().len(), 0);
    recommender.keep(&USER, outdated);
    assert_eq!(recommender.memory().len(), 0);
    assert_eq!(source().await, Source::Store);
    recommender.invalidate(Invalidation::All).await.unwrap();
    assert_eq!(recommender.memory().len(), 0);
    assert_eq!(source().await, Source::Store);

    let (now, minute) = (Instant::now(), Duration::from_mins(1));
    let old = entry(&recommender, now, now + minute);
    recommender.memory.insert(USER, old);
    assert_eq!(source().await, Source::Store);

    recommender.close().await;
    assert_eq!(source().await, Source::Memory);
    let other = recommender.recommend(UserId::Integer(2)).await;
    assert!(matches!(other, Err(Failure::Load(_))), "{other:?}");
}

#[tokio::test]
async fn a_recommender_reports_the_state_of_its_shared_cache() {
    let nowhere = Path::new("/nowhere/reckon.db");
    assert!(recommender(nowhere, true).shared().is_some());
    assert!(recommender(nowhere, false).shared().is_none());
}

#[test]
fn lifetimes_are_spread_by_a_tenth() {
    let ttl = Duration::from_secs(100);
    let times: Vec<Duration> = (0..100).map(|_| jittered(ttl)).collect();
    let (least, most) = (ttl.mul_f64(0.9), ttl.mul_f64(1.1));
    assert!(times.iter().all(|time| (least..=most).contains(time)));
    // The jitter goes in both directions. All values are on one side only once in 10^22 runs.
    assert!(times.iter().any(|time| *time < ttl.mul_f64(0.98)));
    assert!(times.iter().any(|time| *time > ttl.mul_f64(1.02)));
}

#[test]
fn sources_are_labels() {
    let sources = [Source::Memory, Source::Shared, Source::Store, Source::Stale];
    let labels = ["memory", "shared", "store", "stale"];
    assert_eq!(sources.map(Source::label), labels);
}

fn miss(generation: Generation, held: Option<Entry>) -> Miss {
    Miss {
        user: USER,
        generation,
        held: held.map(Box::new),
    }
}

#[tokio::test]
async fn an_old_answer_is_served_stale_until_its_end_or_an_invalidation() {
    let recommender = recommender(Path::new("/nowhere/reckon.db"), false);
    let (now, minute) = (Instant::now(), Duration::from_mins(1));
    let before = now.checked_sub(minute).unwrap();
    let generation = recommender.generations.current(&USER);
    let stale = |entry| recommender.stale(miss(generation, Some(entry)));
    let given = stale(entry(&recommender, before, now + minute)).unwrap();
    assert_eq!((given.source, &*given.body), (Source::Stale, &b"{}"[..]));
    assert!(stale(entry(&recommender, before, now)).is_none());
    assert!(recommender.stale(miss(generation, None)).is_none());
    recommender.generations.invalidate(&USER);
    assert!(stale(entry(&recommender, before, now + minute)).is_none());
}

#[tokio::test]
async fn while_detached_an_answer_is_valid_for_ten_seconds() {
    let recommender = recommender(Path::new("/nowhere/reckon.db"), true);
    let (now, minute) = (Instant::now(), Duration::from_mins(1));
    let generation = recommender.generations.current(&USER);
    for (age, is_given) in [(0, true), (5, true), (10, false), (60, false)] {
        let confirmed = now.checked_sub(Duration::from_secs(age)).unwrap();
        let entry = entry(&recommender, confirmed, now + minute);
        let given = recommender.stale(miss(generation, Some(entry)));
        assert_eq!(given.is_some(), is_given, "{age}");
    }
}

#[test]
fn without_the_shared_cache_only_entries_younger_than_ten_seconds_are_trusted() {
    let generation = Generations::default().current(&USER);
    let confirmed = Instant::now();
    let until = Until {
        fresh: confirmed,
        stale: confirmed,
    };
    let entry = Entry::new("{}".into(), 0, generation, confirmed, until);
    let end = confirmed + DETACHED_AGE;
    let before = end.checked_sub(Duration::from_nanos(1)).unwrap();
    assert!(is_trusted(&entry, confirmed, false));
    assert!(is_trusted(&entry, before, false));
    assert!(!is_trusted(&entry, end, false));
    assert!(is_trusted(&entry, end, true));
    assert_eq!(oldest_load(end, false), Some(confirmed));
    assert_eq!(oldest_load(end, true), None);
}

#[tokio::test]
async fn shutdown_waits_for_users_that_are_being_warmed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    drop(sqlite::create(&path).await.unwrap());
    let recommender = recommender(&path, false);
    recommender
        .warm((0..100).map(UserId::Integer).collect())
        .unwrap();
    recommender.finish_warming().await;
    assert_eq!(recommender.memory().len(), 100);
}
