//! Work on all cores.

use std::num::NonZero;
use std::thread::{available_parallelism, scope};

/// Maximum number of threads: each may need memory of its own.
const MAX_THREADS: usize = 8;

/// Runs `work` once on each of as many threads as there are cores. Returns the results.
///
/// # Panics
/// If `work` does.
pub(crate) fn in_threads<T: Send>(work: impl Fn() -> T + Sync) -> Vec<T> {
    let count = available_parallelism().map_or(1, NonZero::get);
    let work = &work;
    scope(|scope| {
        let threads: Vec<_> = (0..count.min(MAX_THREADS))
            .map(|_| scope.spawn(work))
            .collect();
        let done = threads.into_iter().map(|thread| {
            let done = thread.join();
            done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        done.collect()
    })
}
