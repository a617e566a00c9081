//! Triggers reconciles when other resources' promises at the same server have changed.

use super::context::Context;
use super::server_promises::{Promises, promises, touched};
use super::stores::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::interval;

/// How often the resources are compared, all in one pass. With one pass for each change, the cost would be quadratic in
/// their number.
const PERIOD: Duration = Duration::from_secs(10);

/// Compares the resources for the lifetime of the process.
pub async fn follow(ctx: Arc<Context>, wake: UnboundedSender<Service>) {
    let mut before = Promises::new();
    let mut ticks = interval(PERIOD);
    loop {
        ticks.tick().await;
        if !ctx.leadership.is_held() {
            continue;
        }
        let now = promises(&ctx.stores.everywhere());
        for service in touched(&before, &now, &ctx.stores.services.state()) {
            wake.send(service).ok();
        }
        before = now;
    }
}
