//! The interface of the recommendation API to its deployers: its tuning, ports, probe paths and environment names.
//!
//! Nothing here does I/O; the API and its deployers use the same items.

mod check;
mod cidr;
pub mod env;
pub mod health;
pub mod network;
pub mod provisioning;
pub mod redis;
pub mod tables;
pub mod tuning;

pub use check::Problem;
pub use cidr::{Cidr, InvalidCidr};
pub use tuning::Tuning;
