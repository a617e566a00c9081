//! Requests that arrive whether or not earlier ones are answered.

use std::time::Duration;

use http::Method;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::client::Client;

/// Sends requests at a steady rate until it is dropped, independent of the answers.
pub struct Traffic(JoinHandle<()>);

impl Traffic {
    /// `at_once` requests every `period`, to the paths that `path` gives.
    pub fn to(client: Client, at_once: usize, period: Duration, path: fn() -> String) -> Self {
        let send = async move {
            let mut requests = JoinSet::new();
            let mut clock = interval(period);
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                clock.tick().await;
                for _ in 0..at_once {
                    let (client, path) = (client.clone(), path());
                    requests.spawn(async move { drop(client.send(Method::GET, &path, "").await) });
                }
                while requests.try_join_next().is_some() {}
            }
        };
        Self(tokio::spawn(send))
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.0.abort();
    }
}
