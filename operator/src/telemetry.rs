//! Logs: text on a terminal, JSON otherwise.

use anyhow::Context as _;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging; `RUST_LOG` is the filter, `info` by default.
///
/// # Errors
/// The filter is invalid.
pub fn start() -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ => "info,kube_runtime=warn".to_owned(),
    };
    let filter = EnvFilter::try_new(filter).context("invalid RUST_LOG")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        lines.init();
    } else {
        // The innermost span names the resource; the list would repeat it.
        lines
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .init();
    }
    Ok(())
}
