//! Statements that the prober runs between two probes.

use super::{
    Answer, ENDED, Failure, Kind, NewRows, NoAnswer, PROBER, Server, is_up, known, next, ready,
};
use crate::loader::Loader;
use crate::store::new_rows::{Followed, Question};
use crate::store::{Error, Reason, Scope};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, advance};

async fn ask(loader: &Loader) -> Result<NewRows, Error> {
    loader.new_rows(Followed::Searches, Question::Order).await
}

#[tokio::test(start_paused = true)]
async fn queries_for_new_rows_run_between_probes_and_wait_while_the_store_is_down() {
    let server = Server::new();
    let loader = Arc::new(ready(&server, 2).await);
    for _ in 0..3 {
        assert_eq!(ask(&loader).await.unwrap(), NewRows::Newest(None));
    }
    // One that gets no answer is like a probe without an answer.
    server.follow_rule(|_| NoAnswer);
    let waiting = {
        let loader = Arc::clone(&loader);
        tokio::spawn(async move { ask(&loader).await })
    };
    assert_eq!(next(&loader).await, Err(Reason::Timeout));
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (error.reason, error.scope),
        (Reason::Timeout, Scope::Session)
    );
    // The next errand waits until the store is up again, and uses a new connection.
    let waiting = {
        let loader = Arc::clone(&loader);
        tokio::spawn(async move { ask(&loader).await })
    };
    advance(Duration::from_mins(1)).await;
    assert!(!waiting.is_finished());
    server.follow_rule(|_| Answer);
    assert_eq!(waiting.await.unwrap().unwrap(), NewRows::Newest(None));
    assert_eq!(known(&loader), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_query_for_new_rows_that_fails_keeps_its_connection() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match call.kind {
        Kind::Follow => Failure(Reason::Other, Scope::Statement),
        _ => Answer,
    });
    let began = Instant::now();
    for _ in 0..2 {
        assert_eq!(ask(&loader).await.unwrap_err().reason, Reason::Other);
    }
    assert!(began.elapsed() < ENDED);
    assert_eq!(server.count(Kind::Follow, PROBER), 2);
    assert_eq!(known(&loader), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_query_for_new_rows_delays_the_next_connection_until_the_server_has_ended_it() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Follow, 0) => Failure(Reason::Unreachable, Scope::Session),
        _ => Answer,
    });
    let lost = ask(&loader).await.unwrap_err();
    assert_eq!(lost.reason, Reason::Unreachable);
    assert_eq!(ask(&loader).await.unwrap(), NewRows::Newest(None));
    is_up(&loader).await;
    let (asked, connects) = (server.calls(Kind::Follow), server.calls(Kind::Connect));
    assert_eq!(asked[1].session, connects[1].session);
    assert!(
        connects[1].at >= asked[0].at + ENDED,
        "{asked:?} {connects:?}"
    );
}
