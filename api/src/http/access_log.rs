//! The access log: one line for a request, by `server.accessLog`. A line contains no path, user id or address, because a
//! user id is personal data. The route and the request id are enough to find a request.
//!
//! Lines for failed requests only are rate limited: under overload, a line for each would cost more than the response.

use super::cause::Cause;
use super::method::MethodName;
use super::route::Route;
use super::trace_context::TraceContext;
use crate::rate_limit::Gcra;
use crate::recommend::Source;
use axum::response::Response;
use http::HeaderValue;
use reckon_contract::tuning;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing::field::display;
use tracing::{error, info, warn};

/// Maximum lines for failed requests each second on average, and in a burst.
const RATE: u32 = 1;
const BURST: u32 = 20;

/// Writes the lines.
pub struct AccessLog {
    mode: tuning::AccessLog,
    gcra: Gcra,
    started: Instant,
    /// The state of the [`Gcra`]: the time from which a full burst of lines is allowed again.
    paid_back: AtomicU64,
    /// Failed requests without a line since the last line.
    left_out: AtomicU64,
}

/// A request that has been answered.
pub struct Answered<'a> {
    /// Its id.
    pub id: &'a HeaderValue,
    /// Its trace.
    pub trace: Option<TraceContext>,
    /// Its route and its method.
    pub what: (Route, MethodName),
    /// The response.
    pub response: &'a Response,
    /// Time until the response.
    pub took: Duration,
}

impl AccessLog {
    /// Writes the lines that `mode` selects.
    pub fn new(mode: tuning::AccessLog) -> Self {
        Self {
            mode,
            gcra: Gcra::new(RATE, BURST),
            started: Instant::now(),
            paid_back: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether any request can have a line.
    pub fn is_on(&self) -> bool {
        self.mode != tuning::AccessLog::None
    }

    /// Logs a request that was answered at `now`, if the mode and the rate limit allow it.
    pub fn log(&self, answered: &Answered<'_>, now: Instant) {
        match self.mode {
            tuning::AccessLog::None => {}
            tuning::AccessLog::All => answered.write(None),
            tuning::AccessLog::Errors => {
                if !answered.response.status().is_server_error() {
                } else if self.admits(now) {
                    answered.write(Some(self.left_out.swap(0, Relaxed)));
                } else {
                    self.left_out.fetch_add(1, Relaxed);
                }
            }
        }
    }

    fn admits(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.started);
        let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let taken = self.paid_back.fetch_update(Relaxed, Relaxed, |paid_back| {
            self.gcra.take(paid_back, now).ok()
        });
        taken.is_ok()
    }
}

impl Answered<'_> {
    fn write(&self, left_out: Option<u64>) {
        let (route, method) = self.what;
        let extensions = self.response.extensions();
        let status = self.response.status().as_u16();
        let duration_ms = (self.took.as_secs_f64() * 1e6).round() / 1e3;
        let cause = extensions.get::<Cause>().map(display);
        let source = extensions.get::<Source>().map(|source| source.label());
        let trace_id = self.trace.as_ref().and_then(TraceContext::trace_id);
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    request_id = self.id.to_str().unwrap_or_default(),
                    trace_id,
                    method = method.label(),
                    route = route.template(),
                    status,
                    duration_ms,
                    source,
                    cause,
                    left_out,
                    "request"
                )
            };
        }
        match status {
            500 => line!(error),
            501.. => line!(warn),
            _ => line!(info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AccessLog;
    use reckon_contract::tuning;
    use std::time::{Duration, Instant};

    #[test]
    fn a_burst_of_lines_and_then_a_few_a_second_are_written() {
        let log = AccessLog::new(tuning::AccessLog::Errors);
        let began = Instant::now();
        let lines = |from: u64, seconds: u64| {
            let times = (0..1000 * seconds).map(|n| began + Duration::from_millis(1000 * from + n));
            times.filter(|now| log.admits(*now)).count()
        };
        assert_eq!(lines(0, 1), 20);
        let later = lines(1, 10);
        assert!((10..=11).contains(&later), "{later}");
    }
}
