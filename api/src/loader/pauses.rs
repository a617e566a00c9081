//! Pauses between attempts to connect, where several processes share a limit of connections.

use std::time::Duration;

/// Minimum and maximum of the exponential back-off between two attempts to open a connection beyond the base. The pause
/// is a random part of the back-off.
const EXTRA_BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Pause after a failed attempt to replace a connection.
pub const RENEWAL_RETRY_PAUSE: Duration = Duration::from_mins(1);

/// The pause after the server has refused a connection of the base: about a second.
pub fn refused_pause() -> Duration {
    Duration::from_secs(1).mul_f64(0.8 + 0.4 * fastrand::f64())
}

/// Exponential back-off with full jitter; `failures` attempts have failed before.
pub fn extra_pause(failures: u32) -> Duration {
    let greatest = EXTRA_BACKOFF.0 * 2_u32.saturating_pow(failures.min(10));
    greatest.min(EXTRA_BACKOFF.1).mul_f64(fastrand::f64())
}
