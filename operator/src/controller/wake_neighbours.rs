//! Wakes resources when what others promise their server has changed.

use super::context::Context;
use super::server_promises::{Promises, promises, touched};
use super::stores::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::interval;

/// How often it is looked: one pass over the resources. Waking by each change would be as many times as many resources.
const PERIOD: Duration = Duration::from_secs(10);

/// Looks for as long as the process lives.
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
