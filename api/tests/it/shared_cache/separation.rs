//! Services that share only a Redis, and programs of one service that create different entries.

use super::{
    BOUND, SOON, at, change, connected, entries, error_reason, get, invalidate, keys, metric,
    process, process_at, process_of, served, serves_new_value, shared, tuning, unconnected_at,
};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::harness::tcp_proxy::{Mode, PROMPT, TcpProxy};
use crate::scripted::Script;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// Programs that differ in this do not read each other's entries.
fn shorter() -> Tuning {
    let mut tuning = tuning();
    tuning.recommendation.history_length = Some(7);
    tuning
}

#[tokio::test]
async fn services_of_other_identities_share_neither_entries_nor_messages() {
    let redis = RedisServer::running().await;
    let (shop, bank) = (Arc::new(Script::default()), Arc::new(Script::default()));
    bank.truth.store(700, SeqCst);
    let of_shop = process_of("shop", redis.port(), &shop, tuning()).await;
    let of_bank = process_of("bank", redis.port(), &bank, tuning()).await;
    get(&of_shop, 1).await;
    shared(&redis, [1]).await;
    let first = get(&of_bank, 1).await;
    assert_eq!(
        (first.header("x-cache"), served(&first.body)),
        ("MISS", 700)
    );
    eventually(SOON, async || entries(&redis, 1).await.len() == 2).await;
    for whom in ["/1", "?user_ids=1,2", "/all"] {
        invalidate(&of_shop, whom).await;
    }
    eventually(BOUND, async || {
        metric(&of_shop, "reckon_shared_cache_invalidations_received") == 3
    })
    .await;
    // All earlier messages have been received.
    invalidate(&of_bank, "/2").await;
    eventually(BOUND, async || {
        metric(&of_bank, "reckon_shared_cache_invalidations_received") > 0
    })
    .await;
    assert_eq!(
        metric(&of_bank, "reckon_shared_cache_invalidations_received"),
        1
    );
    let kept = get(&of_bank, 1).await;
    assert_eq!((kept.header("x-cache"), served(&kept.body)), ("HIT", 700));
    let later = process_of("bank", redis.port(), &bank, tuning()).await;
    let found = get(&later, 1).await;
    assert_eq!((found.header("x-cache"), served(&found.body)), ("HIT", 700));
    assert_eq!(bank.statements.load(SeqCst), 1);
}

#[tokio::test]
async fn an_invalidation_is_effective_in_every_variant() {
    let redis = RedisServer::running().await;
    let proxy = TcpProxy::to(redis.port()).await;
    let script = Arc::new(Script::default());
    let one = process(redis.port(), &script, tuning()).await;
    let variant = process(proxy.port(), &script, shorter()).await;
    get(&one, 1).await;
    shared(&redis, [1]).await;
    assert_eq!(get(&variant, 1).await.header("x-cache"), "MISS");
    eventually(SOON, async || entries(&redis, 1).await.len() == 2).await;
    for whom in ["/1", "?user_ids=1,2"] {
        let truth = change(&script);
        invalidate(&one, whom).await;
        assert_eq!(entries(&redis, 1).await, [""; 0]);
        serves_new_value(&variant, 1, truth).await;
        serves_new_value(&one, 1, truth).await;
        eventually(SOON, async || entries(&redis, 1).await.len() == 2).await;
    }
    // It does not hear the next one, and its entry is gone all the same.
    proxy.set_mode(Mode::Closed);
    eventually(SOON, async || error_reason(&variant).is_some()).await;
    let truth = change(&script);
    invalidate(&one, "/1").await;
    assert_eq!(entries(&redis, 1).await, [""; 0]);
    proxy.set_mode(PROMPT);
    connected(&variant).await;
    assert_eq!(served(&get(&variant, 1).await.body), truth);
    let later = process(redis.port(), &script, shorter()).await;
    assert_eq!(served(&get(&later, 1).await.body), truth);
}

#[tokio::test]
async fn the_first_fill_of_a_variant_is_rejected_like_any_other() {
    let redis = RedisServer::running().await;
    let script = Arc::new(Script::default());
    let one = process(redis.port(), &script, tuning()).await;
    let variant = Arc::new(process(redis.port(), &script, shorter()).await);
    // The variant is unknown.
    redis.command(&["FLUSHALL"]).await.unwrap();
    script.least_delay.store(400, SeqCst);
    let slow = Arc::clone(&variant);
    let slow = tokio::spawn(async move { get(&slow, 1).await });
    eventually(SOON, async || script.statements.load(SeqCst) == 1).await;
    script.least_delay.store(0, SeqCst);
    let truth = change(&script);
    invalidate(&one, "/1").await;
    slow.await.unwrap();
    let fills = "reckon_shared_cache_operations_total{operation=\"fill\"";
    eventually(SOON, async || metric(&variant, fills) > 0).await;
    let later = process(redis.port(), &script, shorter()).await;
    assert_eq!(served(&get(&later, 1).await.body), truth);
    serves_new_value(&variant, 1, truth).await;
}

#[tokio::test]
async fn an_entry_whose_variant_is_no_longer_registered_is_invalid() {
    let redis = RedisServer::running().await;
    let script = Arc::new(Script::default());
    let one = process(redis.port(), &script, tuning()).await;
    let variant = process(redis.port(), &script, shorter()).await;
    get(&variant, 1).await;
    shared(&redis, [1]).await;
    // Like a server that is short of memory.
    let state = keys(&redis, "*:state").await.remove(0);
    redis.command(&["DEL", &state]).await.unwrap();
    get(&one, 2).await;
    let truth = change(&script);
    invalidate(&one, "/1").await;
    let later = process(redis.port(), &script, shorter()).await;
    assert_eq!(served(&get(&later, 1).await.body), truth);
    serves_new_value(&variant, 1, truth).await;
}

/// The entries of a program with another format, as in a rollout: under its own variant, which contains the number of
/// the format, and under the names of `cache/shared/key_names.rs`.
#[tokio::test]
async fn programs_with_different_entry_formats_keep_separate_entries_and_share_invalidations() {
    let redis = RedisServer::running().await;
    let script = Arc::new(Script::default());
    let one = process(redis.port(), &script, tuning()).await;
    get(&one, 1).await;
    shared(&redis, [1]).await;
    let ours = entries(&redis, 1).await.remove(0);
    let (root, rest) = ours.split_once(":2-").unwrap();
    let variant = format!("3-{}", rest.split(':').next().unwrap());
    let [theirs, lease] = ["e:1", "l:1"].map(|what| format!("{root}:{variant}:{what}"));
    let state = format!("{root}:state");
    let another_program_fills = async || {
        for command in [
            ["HSET", &state, &format!("v:{variant}"), "1"],
            ["SET", &theirs, "3 and whatever comes then", "KEEPTTL"],
            ["SET", &lease, "a token of theirs", "KEEPTTL"],
        ] {
            redis.command(&command).await.unwrap();
        }
    };
    another_program_fills().await;

    // Each program reads its own entries.
    let later = process(redis.port(), &script, tuning()).await;
    let found = get(&later, 1).await;
    assert_eq!((found.header("x-cache"), served(&found.body)), ("HIT", 0));
    assert_eq!(metric(&later, "reckon_shared_cache_unreadable_entries"), 0);
    let value = redis.command(&["GET", &theirs]).await.unwrap();
    assert_eq!(value.as_deref(), Some("3 and whatever comes then"));

    // An invalidation leaves neither entries nor leases of any program.
    for whom in ["/1", "?user_ids=1,2"] {
        another_program_fills().await;
        let truth = change(&script);
        invalidate(&one, whom).await;
        for key in [&theirs, &lease, &ours] {
            assert_eq!(redis.command(&["GET", key]).await.unwrap(), None, "{key}");
        }
        serves_new_value(&later, 1, truth).await;
    }
    // An invalidation of everything deletes the epoch, and so outdates the entries of both programs.
    another_program_fills().await;
    let epoch = async || redis.command(&["HGET", &state, "epoch"]).await.unwrap();
    let before = epoch().await;
    let truth = change(&script);
    invalidate(&one, "/all").await;
    assert_ne!(epoch().await, before);
    serves_new_value(&later, 1, truth).await;

    // Messages of the other program are received here, because all formats use the same messages.
    let truth = change(&script);
    let channel = format!("{}:invalidations", root.rsplit_once(':').unwrap().0);
    redis.command(&["DEL", &ours]).await.unwrap();
    redis.command(&["PUBLISH", &channel, "1"]).await.unwrap();
    serves_new_value(&later, 1, truth).await;
}

#[tokio::test]
async fn a_user_with_the_rules_of_one_service_shares_its_entries_and_reaches_no_others() {
    let redis = RedisServer::running().await;
    let rules = reckon_contract::redis::acl("shop");
    let mut user = vec!["ACL", "SETUSER", "of-shop", "reset", "on", ">right"];
    user.extend(rules.split(' '));
    redis.command(&user).await.unwrap();
    let as_user = || {
        let url = format!(
            "redis://of-shop:right@127.0.0.1:{}/?protocol=resp3",
            redis.port()
        );
        let mut address = at(redis.port());
        address.client = redis::Client::open(url).unwrap();
        address
    };
    let script = Arc::new(Script::default());
    let one = process_at(as_user(), "shop", &script, tuning()).await;
    let other = process_at(as_user(), "shop", &script, tuning()).await;
    for whom in ["/1", "?user_ids=1,2", "/all"] {
        get(&one, 1).await;
        shared(&redis, [1]).await;
        let truth = change(&script);
        invalidate(&other, whom).await;
        serves_new_value(&one, 1, truth).await;
    }
    // An entry that cannot be read is replaced.
    let entry = entries(&redis, 1).await.remove(0);
    let length = redis.command(&["STRLEN", &entry]).await.unwrap().unwrap();
    let last = (length.parse::<u32>().unwrap() - 1).to_string();
    redis
        .command(&["SETRANGE", &entry, &last, "?"])
        .await
        .unwrap();
    let later = process_at(as_user(), "shop", &script, tuning()).await;
    get(&later, 1).await;
    let refused = redis.command(&["ACL", "LOG"]).await.unwrap();
    assert_eq!(refused.as_deref(), Some(""), "something was refused");

    let stranger = unconnected_at(as_user(), "bank", &script, tuning());
    eventually(SOON, async || {
        error_reason(&stranger) == Some("access denied")
    })
    .await;
}

/// The rules in the documentation are the tested ones.
#[test]
fn the_documentation_contains_the_rules_that_the_shared_cache_needs() {
    let page = include_str!("../../../../docs/freshness.md");
    let rules = reckon_contract::redis::acl("IDENTITY");
    assert!(
        page.contains(&rules),
        "docs/freshness.md does not have {rules}"
    );
}
