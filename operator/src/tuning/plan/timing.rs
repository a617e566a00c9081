//! How long a write can take to have an effect.

use std::time::Duration;

/// After a write that disables an autoscaler's removals or pauses a Deployment: how long a controller can still act on
/// older reads.
pub const SETTLE: Duration = Duration::from_secs(5);
/// After the replicas or their maximum were lowered: how long pods of the former number can still be created. It is two
/// syncs of an autoscaler, and ample time for these pods to be created, observed and removed.
pub const HPA_SYNC: Duration = Duration::from_secs(30);
/// Time past its grace period after which a terminating pod counts as late. Other pods are then replaced only if the
/// budget has room for the late pod.
pub const OVERDUE_AFTER: Duration = Duration::from_secs(3);
/// How long evictions are held without any progress (no pod is created or removed). A rollout that is stuck must not
/// block the drain of a node for ever.
pub const HELD_AT_MOST: Duration = Duration::from_mins(10);
/// Time past its grace period after which a terminating pod counts as stuck.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);
