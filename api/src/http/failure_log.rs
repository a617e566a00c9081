//! A log line for an answer 503 or 504, by which a client's request id can be found. Under overload only for some of them: a
//! line for each would cost more than the answer.

use super::route::Route;
use crate::rate_limit::Gcra;
use http::{HeaderValue, StatusCode};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing::warn;

/// Lines a second in the long run, and at once.
const RATE: u32 = 1;
const BURST: u32 = 20;

/// Writes such lines.
pub struct FailureLog {
    gcra: Gcra,
    started: Instant,
    /// When the lines so far are paid back.
    paid_back: AtomicU64,
    /// Answers without a line since the last line.
    left_out: AtomicU64,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self {
            gcra: Gcra::new(RATE, BURST),
            started: Instant::now(),
            paid_back: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }
}

impl FailureLog {
    /// Notes an answer that is ready at `now`.
    pub fn note(
        &self,
        (route, status): (Route, StatusCode),
        request_id: &HeaderValue,
        took: Duration,
        now: Instant,
    ) {
        let is_failure = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
        );
        if !is_failure {
            return;
        }
        if !self.takes(now) {
            self.left_out.fetch_add(1, Relaxed);
            return;
        }
        let left_out = self.left_out.swap(0, Relaxed);
        warn!(
            status = status.as_u16(),
            route = route.template(),
            request_id = request_id.to_str().unwrap_or_default(),
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            left_out,
            "answered 503 or 504"
        );
    }

    fn takes(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.started);
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let taken = self.paid_back.fetch_update(Relaxed, Relaxed, |paid_back| {
            self.gcra.take(paid_back, now).ok()
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::FailureLog;
    use std::time::{Duration, Instant};

    #[test]
    fn a_burst_of_lines_and_then_a_few_a_second_are_written() {
        let log = FailureLog::default();
        let began = Instant::now();
        let lines = |from: u64, seconds: u64| {
            let times = (0..1000 * seconds).map(|n| began + Duration::from_millis(1000 * from + n));
            times.filter(|now| log.takes(*now)).count()
        };
        assert_eq!(lines(0, 1), 20);
        let later = lines(1, 10);
        assert!((10..=11).contains(&later), "{later}");
    }
}
