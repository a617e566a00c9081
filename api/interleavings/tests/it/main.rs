//! What must hold in any order of tasks. A failure prints the schedule; `SHUTTLE_SCHEDULE` replays it.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first unexpected value"
)]

mod explore;
mod pool;
mod queue;
mod singleflight;
