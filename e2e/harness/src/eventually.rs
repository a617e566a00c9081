//! Waits for a condition instead of sleeping.

use std::fmt::Display;
use std::panic::Location;
use std::time::{Duration, Instant};

/// How often a condition is checked: the only sleep of the tests.
const POLL: Duration = Duration::from_millis(5);

/// The result of a condition: `true`, `Some` or `Ok` if it holds.
pub trait Condition {
    /// The value that is available once it holds.
    type Value;

    /// Returns the value.
    ///
    /// # Errors
    /// The observed state instead, for the message of the panic.
    fn held(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn held(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "false".to_owned())
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn held(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Display> Condition for Result<T, E> {
    type Value = T;

    fn held(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

/// Waits until `condition` holds and returns its value; panics with the last observed state after `timeout`.
///
/// A check that hangs is aborted at the timeout too.
#[track_caller]
pub fn eventually<C, F>(
    timeout: Duration,
    mut condition: C,
) -> impl Future<Output = <F::Output as Condition>::Value>
where
    // `AsyncFnMut` is not possible: rustc (1.95) could not prove that a task with such a wait is `Send`.
    C: FnMut() -> F,
    F: Future<Output: Condition>,
{
    let caller = Location::caller();
    async move {
        let started = Instant::now();
        let mut seen = "nothing: the first look never ended".to_owned();
        let waiting = async {
            loop {
                match condition().await.held() {
                    Ok(value) => return value,
                    Err(instead) => seen = instead,
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let waited = tokio::time::timeout(timeout, waiting).await;
        waited.unwrap_or_else(|_| {
            panic!(
                "still not so after {:?} at {caller}; last seen: {seen}",
                started.elapsed()
            )
        })
    }
}
