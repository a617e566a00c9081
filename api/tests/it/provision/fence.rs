//! The connection limit, while connections are open.

use super::fixture::{PASSWORD, connect, fence, fixture, owner, provision, wanted};
use crate::harness::each_flavour::on_each_flavour;
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use reckon_api::provision::{Wanted, set_fence};
use reckon_contract::provisioning::{Change, Reason};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);
/// `ER_USER_LIMIT_REACHED`.
const LIMIT: u16 = 1226;
/// `ER_ACCESS_DENIED_ERROR`.
const DENIED: u16 = 1045;

async fn the_server_enforces_the_fence_when_it_moves(flavour: Flavour) {
    let (db, server) = fixture(flavour).await;
    let wanted = wanted();
    provision(&server, &wanted).await;
    let more = async || connect(&server, &wanted, PASSWORD).await;
    let open = async |count| {
        let settled = async || db.sessions(&wanted.owner.user_name()).await.open == count;
        eventually(SOON, settled).await;
    };

    open(0).await;
    let mut pods = Vec::new();
    for _ in 0..5 {
        pods.push(more().await.unwrap());
    }
    assert_eq!(more().await.map(drop), Err(LIMIT));

    // Full, it can still be provisioned and its password be told from another.
    assert_eq!(provision(&server, &wanted).await.changes, []);
    let refused = async |password: &str| connect(&server, &wanted, password).await.map(drop);
    assert_eq!(refused(PASSWORD).await, Err(LIMIT));
    assert_eq!(refused("wrong").await, Err(DENIED));

    // The limit is raised while the other connections are open.
    set_fence(&server, &wanted.owner, fence(6)).await.unwrap();
    pods.push(more().await.unwrap());
    assert_eq!(more().await.map(drop), Err(LIMIT));

    // The limit is lowered: open connections stay, and new ones are possible only below it.
    set_fence(&server, &wanted.owner, fence(3)).await.unwrap();
    assert_eq!(db.sessions(&wanted.owner.user_name()).await.open, 6);
    pods.truncate(3);
    open(3).await;
    assert_eq!(more().await.map(drop), Err(LIMIT));
    pods.truncate(2);
    open(2).await;
    pods.push(more().await.unwrap());
    assert_eq!(more().await.map(drop), Err(LIMIT));

    // `ensure` also changes the limit.
    pods.clear();
    open(0).await;
    let wider = Wanted {
        max_user_connections: fence(4),
        ..wanted.clone()
    };
    assert_eq!(provision(&server, &wider).await.changes, [Change::FenceSet]);
    assert_eq!(provision(&server, &wider).await.changes, []);
    open(0).await;
    for _ in 0..4 {
        pods.push(more().await.unwrap());
    }
    assert_eq!(more().await.map(drop), Err(LIMIT));
}

async fn a_fence_is_set_on_own_accounts_only(flavour: Flavour) {
    let (_db, server) = fixture(flavour).await;
    let ours = wanted().owner;
    let set = async |owner| set_fence(&server, owner, fence(2)).await;
    assert_eq!(
        set(&ours).await.unwrap_err().reason(),
        Reason::UnknownDatabase
    );
    provision(&server, &wanted()).await;
    let other = owner("other");
    assert_eq!(
        set(&other).await.unwrap_err().reason(),
        Reason::OwnedByAnother
    );
    set(&ours).await.unwrap();
}

on_each_flavour!(
    the_server_enforces_the_fence_when_it_moves,
    a_fence_is_set_on_own_accounts_only,
);
