//! How many database servers the operator talks to at the same time, and for how long.

use crate::controller::Error;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Servers that all namespaces talk to at the same time.
const IN_ALL: usize = 16;
/// Servers that the resources of one namespace talk to at the same time: those of others get their turn soon whatever one names.
const OF_A_NAMESPACE: usize = 2;
/// Longest time for one, waiting for a turn excepted. A server that answers each statement just in time is given up too.
const DEADLINE: Duration = Duration::from_mins(1);

/// Of the whole process, however many scopes it has.
static ALL: Semaphore = Semaphore::const_new(IN_ALL);

/// Turns, by namespace.
#[derive(Debug, Default)]
pub struct Places {
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Places {
    /// Does `work` when it is its turn, in a task of its own.
    ///
    /// # Errors
    /// Those of `work`; it took too long; it panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        namespace: &str,
        doing: &str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let own = self.of(namespace);
        // Neither is ever closed.
        let _own = own.acquire().await;
        let _all = ALL.acquire().await;
        match tokio::spawn(timeout(DEADLINE, work)).await {
            Ok(Ok(done)) => done,
            Ok(Err(_)) => Err(Error::Background(format!(
                "failed to {doing}: not done within {} s",
                DEADLINE.as_secs()
            ))),
            Err(ended) => {
                tracing::error!(namespace, doing, "the database driver panicked");
                let how = if ended.is_panic() {
                    "the database driver panicked on what the server sent"
                } else {
                    "the operator is stopping"
                };
                Err(Error::Background(format!("failed to {doing}: {how}")))
            }
        }
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut all = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let own = all
            .entry(namespace.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(OF_A_NAMESPACE)));
        Arc::clone(own)
    }

    /// Forgets namespaces in which nothing is under way.
    pub fn keep(&self) {
        let mut all = self
            .namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, own| Arc::strong_count(own) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::{DEADLINE, Error, OF_A_NAMESPACE, Places};
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn servers_that_never_answer_take_no_turn_of_another_namespace() {
        let places = Arc::new(Places::default());
        let begun = Arc::new(AtomicUsize::new(0));
        let silent: Vec<_> = (0..64)
            .map(|_| {
                let (places, begun) = (Arc::clone(&places), Arc::clone(&begun));
                tokio::spawn(async move {
                    let work = async move {
                        begun.fetch_add(1, Ordering::Relaxed);
                        pending::<Result<(), Error>>().await
                    };
                    places.run("tenant", "wait", work).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        let started = Instant::now();
        let answer = places.run("other", "ask", async { Ok(7) }).await;
        assert_eq!(answer.unwrap(), 7);
        assert!(
            started.elapsed() < DEADLINE / 1000,
            "{:?}",
            started.elapsed()
        );
        assert_eq!(begun.load(Ordering::Relaxed), OF_A_NAMESPACE);
        for ended in silent {
            let error = ended.await.unwrap().unwrap_err().to_string();
            assert_eq!(error, "failed to wait: not done within 60 s");
        }
        places.keep();
        assert!(places.namespaces.lock().unwrap().is_empty());
    }

    async fn panics() -> Result<(), Error> {
        tokio::task::yield_now().await;
        panic!("advance out of bounds")
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_gives_its_turn_back() {
        let places = Places::default();
        for _ in 0..=OF_A_NAMESPACE {
            let error = places.run("tenant", "read a greeting", panics()).await;
            assert_eq!(
                error.unwrap_err().to_string(),
                "failed to read a greeting: the database driver panicked on what the server sent"
            );
        }
    }
}
