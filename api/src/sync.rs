//! The locks and atomics of the files that the crate `interleavings` compiles too. That crate replaces them with shuttle's.

pub use std::sync::{Mutex, MutexGuard, PoisonError, atomic};
