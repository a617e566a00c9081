//! Which answers of a store the loader accepts.

use crate::scripted::{Script, ScriptedStore};
use reckon_api::loader::{LoadError, Loader};
use reckon_api::metrics::Metrics;
use reckon_api::model::UserId;
use reckon_api::store::Reason;
use reckon_contract::Tuning;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn a_store_that_returns_fewer_or_more_users_than_requested_is_an_error() {
    let script = Arc::new(Script::default());
    let tuning = Tuning::default();
    let metrics = Arc::clone(&Metrics::new(&tuning).loader);
    let loader = Loader::start(
        ScriptedStore(Arc::clone(&script)),
        &tuning.store,
        100,
        metrics,
        None,
    );
    for surplus in [-1, 1] {
        script.surplus.store(surplus, SeqCst);
        for _ in 0..20 {
            let (one, other) = tokio::join!(
                loader.load(UserId::Integer(1)),
                loader.load(UserId::Integer(2))
            );
            for result in [one, other] {
                assert_eq!(result, Err(LoadError::Unavailable(Reason::Other)));
            }
        }
    }
    script.surplus.store(0, SeqCst);
    assert!(loader.load(UserId::Integer(1)).await.is_ok());
    loader.close().await;
}
