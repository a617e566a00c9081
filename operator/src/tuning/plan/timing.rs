//! How long a write may take to have an effect.

use std::time::Duration;

/// How long a controller may still act on older reads after the write that disables an autoscaler's removals or pauses a
/// Deployment.
pub const SETTLE: Duration = Duration::from_secs(5);
/// How long the former replicas may still come after the replicas or their maximum were lowered: two syncs of an
/// autoscaler, and ample time for pods that were wanted before to be created, observed and removed.
pub const HPA_SYNC: Duration = Duration::from_secs(30);
/// How long past its grace period a terminating pod counts as late: replacing others stops if there is no room for it.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(3);
/// How long past its grace period a terminating pod is waited for before it counts as stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
