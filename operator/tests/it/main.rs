//! The operator tried from outside, on real servers.
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, and says where"
)]

mod documentation;
mod layers;
mod managed_redis;
