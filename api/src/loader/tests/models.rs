//! Reading of the published model between probes.

use super::{Answer, ENDED, Failure, Kind, PROBER, ServedStore, Server, is_up, known, ms};
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::store::{Reason, Scope};
use crate::trained::{CurrentModel, FollowedModel};
use reckon_contract::Tuning;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const PERIOD: Duration = ms(60_000);

/// A loader that follows the published model.
async fn following(server: &Arc<Server>) -> Loader {
    let tuning = Tuning::default();
    let models = FollowedModel {
        current: Arc::new(CurrentModel::default()),
        period: PERIOD,
    };
    let loader = Loader::start(
        ServedStore(Arc::clone(server)),
        &tuning.store,
        100,
        Arc::clone(&Metrics::new(&tuning).loader),
        Some(models),
    );
    is_up(&loader).await;
    loader
}

#[tokio::test(start_paused = true)]
async fn the_published_model_is_read_once_a_period() {
    let server = Server::new();
    let _loader = following(&server).await;
    sleep(PERIOD * 2 + ms(20_000)).await;
    assert_eq!(server.count(Kind::Model, PROBER), 3);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_cannot_be_read_is_no_outage_and_costs_a_broken_connection_only() {
    for (scope, is_kept) in [(Scope::Statement, true), (Scope::Session, false)] {
        let server = Server::new();
        server.follow_rule(move |call| match (call.kind, call.earlier) {
            (Kind::Model, 0) => Failure(Reason::Unreachable, scope),
            _ => Answer,
        });
        let loader = following(&server).await;
        sleep(PERIOD + ms(20_000)).await;
        assert_eq!(known(&loader), Ok(()));
        let (reads, connects) = (server.calls(Kind::Model), server.calls(Kind::Connect));
        assert_eq!(reads.len(), 2);
        assert_eq!(reads[1].session == PROBER, is_kept, "{reads:?}");
        if !is_kept {
            // The server may run the statement until then.
            let replaced = connects.last().unwrap();
            assert!(replaced.at >= reads[0].at + ENDED, "{connects:?}");
        }
    }
}
