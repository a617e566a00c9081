//! Text as user ids: each has its own entry, and an invalidation reaches the users that it names and no others.

use super::{BOUND, SOON, tuning, two};
use crate::golden::{encoded, text_ids};
use crate::harness::eventually::eventually;
use crate::harness::redis_server::RedisServer;
use crate::invalidation::served;
use reckon_contract::tables::UserIdType;
use std::sync::atomic::Ordering::SeqCst;

/// Ids with a special meaning for Redis, for scripts or in messages, and ordinary ids.
fn ids() -> Vec<String> {
    let odd = [
        "all", "state", "epoch", "1", "01", "v:x", ":e:1", "*", "a,b", "a", "b",
    ];
    text_ids()
        .into_iter()
        .chain(odd.map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn users_with_text_ids_are_cached_and_invalidated_one_by_one() {
    let redis = RedisServer::running().await;
    let mut tuning = tuning();
    tuning.tables.user_id = UserIdType::Text;
    // Redis is used even if the memory caches have entries.
    tuning.cache.memory.max_bytes = 0;
    let (one, other, script) = two(&redis, tuning).await;
    let ids = ids();
    for id in &ids {
        let answer = one.get(&format!("/recommend/{}", encoded(id))).await;
        assert_eq!(answer.json()["user_id"], *id);
    }
    for id in &ids {
        eventually(SOON, async || {
            let answer = other.get(&format!("/recommend/{}", encoded(id))).await;
            assert_eq!(answer.json()["user_id"], *id);
            (answer.header("x-cache") == "HIT")
                .then_some(())
                .ok_or(answer.body)
        })
        .await;
    }
    script.truth.store(500, SeqCst);
    for id in &ids {
        let invalidated = one
            .send_request("POST", &format!("/invalidate-cache/{}", encoded(id)))
            .await;
        assert_eq!(invalidated.status, 200, "{}", invalidated.body);
        let answer = other.get(&format!("/recommend/{}", encoded(id))).await;
        assert_eq!(
            (answer.header("x-cache"), served(&answer.body)),
            ("MISS", 500),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_message_about_one_text_id_leaves_the_others_in_memory() {
    let redis = RedisServer::running().await;
    let mut tuning = tuning();
    tuning.tables.user_id = UserIdType::Text;
    let (one, other, script) = two(&redis, tuning).await;
    let ids = ids();
    for id in &ids {
        other.get(&format!("/recommend/{}", encoded(id))).await;
    }
    script.truth.store(500, SeqCst);
    let path = format!("/invalidate-cache?user_ids={}", encoded(r"all,a\,b,*"));
    assert_eq!(one.send_request("POST", &path).await.status, 200);
    let changed = ["all", "a,b", "*"];
    eventually(BOUND, async || {
        for id in changed {
            let answer = other.get(&format!("/recommend/{}", encoded(id))).await;
            if served(&answer.body) != 500 {
                return Err(format!("{id}: {}", answer.body));
            }
        }
        Ok(())
    })
    .await;
    let mut kept = 0;
    for id in ids.iter().filter(|id| !changed.contains(&id.as_str())) {
        let answer = other.get(&format!("/recommend/{}", encoded(id))).await;
        kept += u32::from(served(&answer.body) != 500);
    }
    // Two users may share a counter of generations.
    assert!(kept as usize >= ids.len() - changed.len() - 2, "{kept}");
}
