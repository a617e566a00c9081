//! What the metrics count.

use super::{
    Answer, AnswerAfter, Failure, Kind, NoAnswer, Server, TIMED_OUT, is_up, load, ms, start,
    unavailable,
};
use crate::store::{Reason, Scope};
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn loads_and_statements_that_fail_are_counted_by_their_reason() {
    let server = Server::new();
    let (loader, metrics) = start(&server, 1, 86_400);
    is_up(&loader).await;
    server.follow_rule(|call| match (call.kind, call.earlier) {
        (Kind::Read, 0) => Failure(Reason::Other, Scope::Statement),
        (Kind::Read, _) => NoAnswer,
        _ => Answer,
    });
    let failed = unavailable(Reason::Other);
    assert_eq!(load(&loader, [1]).await, [failed]);
    assert_eq!(metrics.store_errors[Reason::Other as usize].get(), 1);
    assert_eq!((metrics.unavailable.get(), metrics.timed_out.get()), (1, 0));
    assert_eq!(load(&loader, [1]).await, [TIMED_OUT]);
    assert_eq!((metrics.unavailable.get(), metrics.timed_out.get()), (1, 1));
    assert_eq!(metrics.overloaded.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_busy_only_while_it_works() {
    let server = Server::new();
    let (loader, metrics) = start(&server, 1, 86_400);
    is_up(&loader).await;
    server.follow_rule(|_| AnswerAfter(ms(5)));
    let during = async {
        sleep(ms(7)).await;
        metrics.busy.get()
    };
    let (answers, busy) = tokio::join!(load(&loader, [1]), during);
    assert_eq!((answers, busy), (vec![Ok(())], 1));
    sleep(ms(1)).await;
    assert_eq!(metrics.busy.get(), 0);
}
