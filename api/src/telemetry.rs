//! Logs: text on a terminal, JSON otherwise, on standard error.

use std::io::{IsTerminal, stderr};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Starts logging at the level that `RUST_LOG` names, else `info`.
///
/// # Errors
/// `RUST_LOG` is no valid filter.
pub fn start() -> Result<(), tracing_subscriber::filter::ParseError> {
    let directives = std::env::var(reckon_contract::env::LOG).unwrap_or_default();
    let filter = if directives.is_empty() {
        EnvFilter::new("info")
    } else {
        EnvFilter::try_new(directives)?
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
