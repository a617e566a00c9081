//! Tests of the harness itself, on which the other tests depend.

mod processes;
mod redis;
mod sql;
mod waiting;
