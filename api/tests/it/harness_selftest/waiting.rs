//! Waiting on a condition.

use crate::harness::eventually::eventually;
use std::time::Duration;

#[tokio::test]
#[should_panic(expected = "last seen: 3 is not 4")]
async fn a_condition_that_never_holds_panics_with_the_last_observation() {
    eventually(Duration::from_millis(50), async || {
        Err::<(), _>("3 is not 4")
    })
    .await;
}

#[tokio::test]
async fn a_condition_returns_its_value() {
    assert_eq!(
        eventually(Duration::from_secs(10), async || Some(4)).await,
        4
    );
}
