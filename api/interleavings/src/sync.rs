//! Locks and atomics of shuttle, and the channels of tokio, which work without a runtime.

mod notify;

pub use notify::Notify;
pub use real_tokio::sync::{oneshot, watch};
pub use shuttle::sync::{Mutex, MutexGuard, atomic};
pub use std::sync::PoisonError;
