//! Logs: text on a terminal, JSON otherwise, on standard error.

use std::io::{IsTerminal, stderr};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// `RUST_LOG` is not a valid filter.
#[derive(Debug, thiserror::Error)]
// The message contains the cause. If the cause were also the source, it would be printed twice.
#[error("{name}={0} is not a valid log filter: {1}", name = reckon_contract::env::LOG)]
pub struct InvalidFilter(String, tracing_subscriber::filter::ParseError);

/// Starts logging at the level of `RUST_LOG`, by default `info`.
///
/// # Errors
/// `RUST_LOG` is not a valid filter.
pub fn start() -> Result<(), InvalidFilter> {
    let directives = std::env::var(reckon_contract::env::LOG).unwrap_or_default();
    let filter = if directives.is_empty() {
        EnvFilter::new("info")
    } else {
        EnvFilter::try_new(&directives).map_err(|error| InvalidFilter(directives, error))?
    };
    let registry = tracing_subscriber::registry().with(filter);
    if stderr().is_terminal() {
        registry
            .with(fmt::layer().with_writer(stderr).with_target(false))
            .init();
    } else {
        registry
            .with(fmt::layer().with_writer(stderr).json().flatten_event(true))
            .init();
    }
    Ok(())
}
