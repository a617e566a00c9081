//! Logs when the API begins and stops returning 503 or 504: one line each, not one for each request.

use super::metrics::HttpMetrics;
use std::{sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

const PERIOD: Duration = Duration::from_secs(1);
/// The outage is over after this many periods without such a response.
const QUIET_PERIODS: u32 = 5;

/// Watches the counter of such responses, without end.
pub async fn report(metrics: Arc<HttpMetrics>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    let mut before = 0;
    let mut quiet = None::<u32>;
    loop {
        ticks.tick().await;
        let now = metrics.unavailable.get();
        quiet = match (now > seen, quiet) {
            (true, None) => {
                warn!("answering 503 or 504");
                before = seen;
                Some(0)
            }
            (true, Some(_)) => Some(0),
            (false, Some(QUIET_PERIODS)) => {
                info!(answers = now - before, "recovered: no 503 or 504 for 5 s");
                None
            }
            (false, quiet) => quiet.map(|periods| periods + 1),
        };
        seen = now;
    }
}
