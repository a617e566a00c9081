//! The operator with only a real API server: what it writes, what it does not change, and its messages. There are no
//! controllers here. So [`controllers`] and [`jobs`] simulate those that the operator waits for, and there is no
//! garbage collection.
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
mod alerts;
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
