//! How long what was written may have no effect yet.

use std::time::Duration;

/// How long after the write that forbids an autoscaler to remove pods, or pauses a Deployment, a controller may still
/// act on what it read before.
pub const SETTLE: Duration = Duration::from_secs(5);
/// How long after the replicas or their maximum were lowered the former ones may still come: two syncs of an
/// autoscaler, and ample for pods that were wanted before to be made, seen, and removed.
pub const HPA_SYNC: Duration = Duration::from_secs(30);
/// How long past its grace a terminating pod counts as late: replacing others stops, if there is no room for it.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(3);
/// How long past its grace a terminating pod is waited for before it counts as stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
