//! Caches of finished results, so that the store is queried rarely.

pub mod generation;
pub(crate) mod memory;
pub mod shared;
