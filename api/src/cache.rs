//! Finished answers, kept so that the store is asked seldom and never about the same thing twice at once.

pub mod generation;
pub(crate) mod memory;
pub mod shared;
