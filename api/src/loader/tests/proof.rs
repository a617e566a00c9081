//! What a connection that is not the loader's learns from the server's answers.

use super::{Answer, Failure, Kind, Server, ms, next, ready};
use crate::store::{Reason, Scope};
use tokio::time::{Instant, timeout};

#[tokio::test(start_paused = true)]
async fn a_suspicion_is_probed_at_once_and_the_end_of_the_outage_is_awaited() {
    let server = Server::new();
    let loader = ready(&server, 1).await;
    let proof = loader.proof();
    assert_eq!(proof.down(), None);
    proof.up().await;
    server.follow_rule(|call| match call.kind {
        Kind::Connect | Kind::Ping => Failure(Reason::Unreachable, Scope::Session),
        _ => Answer,
    });
    let suspected = Instant::now();
    proof.suspect();
    assert_eq!(next(&loader).await, Err(Reason::Unreachable));
    assert!(suspected.elapsed() < ms(1000));
    assert_eq!(proof.down(), Some(Reason::Unreachable));
    assert!(timeout(ms(1000), proof.up()).await.is_err());
    server.follow_rule(|_| Answer);
    proof.up().await;
    assert_eq!(proof.down(), None);
}
