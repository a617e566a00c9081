//! A new password under load (MySQL), and the error on servers without two passwords (MariaDB).

use super::fixture::{PASSWORD, as_user, connect, fixture, owner, provision, secret, wanted};
use crate::harness::eventually::eventually;
use crate::harness::sql_server::Flavour;
use reckon_api::provision::Wanted;
use reckon_api::provision::rotation::{begin, finish};
use reckon_api::store::mysql::Address;
use reckon_contract::provisioning::Reason;
use sqlx::{ConnectOptions, Connection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tokio::task::JoinHandle;

const NEXT: &str = "second-password-Aa1";
const SOON: Duration = Duration::from_secs(30);
/// Connections that must succeed at each stage.
const ENOUGH: u32 = 40;

/// A pod that connects again and again.
struct Pod {
    welcomes: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    task: JoinHandle<Option<sqlx::Error>>,
}

impl Pod {
    fn with(server: &Address, user: &str, password: &str) -> Self {
        let options = as_user(server, user, password);
        let (welcomes, stop) = (Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let task = tokio::spawn({
            let (welcomes, stop) = (Arc::clone(&welcomes), Arc::clone(&stop));
            async move {
                while !stop.load(SeqCst) {
                    match options.connect().await {
                        Ok(connection) => connection.close().await.ok(),
                        Err(error) => return Some(error),
                    };
                    welcomes.fetch_add(1, SeqCst);
                }
                None
            }
        });
        Self {
            welcomes,
            stop,
            task,
        }
    }

    async fn continues(&self) {
        let wanted = self.welcomes.load(SeqCst) + ENOUGH;
        let enough = async || self.task.is_finished() || self.welcomes.load(SeqCst) >= wanted;
        eventually(SOON, enough).await;
    }

    /// The number of successful logins; panics if a login was rejected.
    async fn end(self) -> u32 {
        self.stop.store(true, SeqCst);
        if let Some(error) = self.task.await.unwrap() {
            panic!(
                "refused after {} times: {error}",
                self.welcomes.load(SeqCst)
            );
        }
        self.welcomes.load(SeqCst)
    }
}

#[tokio::test]
async fn both_passwords_work_until_the_old_one_is_discarded() {
    let (_db, server) = fixture(Flavour::MySql9).await;
    let old = wanted();
    let (owner, user) = (&old.owner, old.owner.user_name());
    let next = secret(NEXT);
    provision(&server, &old).await;

    let old_pod = Pod::with(&server, &user, PASSWORD);
    old_pod.continues().await;
    begin(&server, owner, &next).await.unwrap();
    let new_pod = Pod::with(&server, &user, NEXT);
    old_pod.continues().await;
    new_pod.continues().await;

    // The operator died here twice, and two operators ran at the same time.
    begin(&server, owner, &next).await.unwrap();
    let begin_again = (0..4).map(|_| begin(&server, owner, &next));
    futures_util::future::try_join_all(begin_again)
        .await
        .unwrap();
    // Provisioning goes on with whichever is in the Secret.
    assert_eq!(provision(&server, &old).await.changes, []);
    let new = Wanted {
        password: next.clone(),
        ..old.clone()
    };
    assert_eq!(provision(&server, &new).await.changes, []);
    old_pod.continues().await;
    new_pod.continues().await;

    // It does not work with an invalid password.
    let wrong = finish(&server, owner, &secret("wrong")).await;
    assert_eq!(wrong.unwrap_err().reason(), Reason::AccessDenied);
    old_pod.continues().await;

    println!("old password: {} connections", old_pod.end().await);
    for _ in 0..2 {
        finish(&server, owner, &next).await.unwrap();
        assert_eq!(connect(&server, &old, PASSWORD).await.map(drop), Err(1045));
    }
    new_pod.continues().await;
    println!("new password: {} connections", new_pod.end().await);
    assert_eq!(provision(&server, &new).await.changes, []);
}

#[tokio::test]
async fn concurrent_rotations_keep_both_passwords() {
    let (_db, server) = fixture(Flavour::MySql9).await;
    let wanted = wanted();
    provision(&server, &wanted).await;
    let next = secret(NEXT);
    let all = (0..8).map(|_| begin(&server, &wanted.owner, &next));
    futures_util::future::try_join_all(all).await.unwrap();
    for password in [PASSWORD, NEXT] {
        assert!(connect(&server, &wanted, password).await.is_ok());
    }
}

#[tokio::test]
async fn the_named_password_is_kept_even_if_it_is_the_older() {
    let (_db, server) = fixture(Flavour::MySql9).await;
    let wanted = wanted();
    provision(&server, &wanted).await;
    begin(&server, &wanted.owner, &secret(NEXT)).await.unwrap();
    finish(&server, &wanted.owner, &wanted.password)
        .await
        .unwrap();
    assert!(connect(&server, &wanted, PASSWORD).await.is_ok());
    assert_eq!(connect(&server, &wanted, NEXT).await.map(drop), Err(1045));
}

#[tokio::test]
async fn a_foreign_account_is_not_rotated() {
    let (_db, server) = fixture(Flavour::MySql9).await;
    let next = secret(NEXT);
    let error = begin(&server, &wanted().owner, &next).await;
    assert_eq!(error.unwrap_err().reason(), Reason::UnknownDatabase);
    provision(&server, &wanted()).await;
    let other = owner("other");
    for done in [
        begin(&server, &other, &next).await,
        finish(&server, &other, &next).await,
    ] {
        assert_eq!(done.unwrap_err().reason(), Reason::OwnedByAnother);
    }
}

#[tokio::test]
async fn mariadb_is_reported_as_unable_to_rotate() {
    let (_db, server) = fixture(Flavour::MariaDb).await;
    provision(&server, &wanted()).await;
    let next = secret(NEXT);
    for done in [
        begin(&server, &wanted().owner, &next).await,
        finish(&server, &wanted().owner, &wanted().password).await,
    ] {
        let error = done.unwrap_err();
        println!("{error}");
        assert_eq!(error.reason(), Reason::RotationUnsupported);
    }
    assert!(connect(&server, &wanted(), PASSWORD).await.is_ok());
}
