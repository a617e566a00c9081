//! Proves that the harness does what it says, before other tests trust it.

mod processes;
mod redis;
mod sql;
mod waiting;
