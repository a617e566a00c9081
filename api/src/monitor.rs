//! A monitor for one or many processes of the API, based on their metrics: live on a terminal, otherwise as text or JSON.
//!
//! `fleet` holds the state of all processes, without I/O; `poll` sends the requests; `screen` and `text` display. A
//! process gets one request at a time. Its answer is read as a stream and reduced to a fixed size (`sample`). A process
//! that did not answer the last request has no figures.

mod columns;
pub mod endpoint;
mod failure;
mod fetch;
mod figures;
#[cfg(test)]
mod fixture;
mod fleet;
mod format;
mod histogram;
mod history;
mod line;
mod live;
mod names;
mod poll;
mod print;
mod reader;
mod report;
mod sample;
mod screen;
mod session;
mod summary;
mod text;

use endpoint::Endpoint;
use session::Session;
use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

/// The options of the monitor.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processes, and the names that resolve to processes.
    pub endpoints: Vec<Endpoint>,
    /// Time between two samples.
    pub interval: Duration,
    /// Whether to stop after one report.
    pub once: bool,
    /// Whether reports are JSON.
    pub json: bool,
}

/// Monitors until it is stopped: on a terminal, or with a report on standard output after each interval.
///
/// # Errors
/// The terminal or standard output fails; with `once`, no process answered.
pub async fn monitor(options: Options) -> anyhow::Result<()> {
    let session = Session::new(options.endpoints, options.interval);
    if options.once || options.json || !stdout().is_terminal() {
        print::run(session, options.once, options.json).await
    } else {
        live::run(session).await
    }
}
