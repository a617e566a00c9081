//! The operator on a real API server and nothing else: what it writes, what it leaves alone, what it says.
//!
//! There are no controllers here, so [`controllers`] and [`jobs`] play those that the operator waits for, and nothing cleans up.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod cluster;
mod controllers;
mod fixture;
mod histogram;
mod http_proxy;
mod jobs;
mod operator;
mod requests;
mod role;
mod spec;

mod admission;
mod broken;
mod children;
mod conflicts;
mod dead_hosts;
mod deletion;
mod enforcement;
mod expired;
mod faults;
mod grants;
mod leadership;
mod metrics;
mod outage;
mod provisioning;
mod real_controllers;
mod repair;
mod rights;
mod scale;
mod schema;
mod servers;
mod steady;
mod training;
