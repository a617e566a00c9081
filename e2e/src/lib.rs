//! The parts that all tests on a whole cluster share: the cluster that `make up` creates, and clients with a constant
//! load.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test stops at the first surprise, and says where"
)]
#![expect(
    clippy::must_use_candidate,
    reason = "what a command printed is often of no interest"
)]

pub mod cluster;
pub mod load;
