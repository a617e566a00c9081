//! A view of one or many processes of the API by their metrics: live on a terminal, else as text or JSON.
//!
//! [`fleet`] is what is known, a plain state; [`poll`] asks; [`screen`] and [`text`] show. A process is asked by one request at a time,
//! an answer is read in a stream and folded to a fixed size ([`sample`]), and what did not answer the last request has no figures.

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

/// What to watch, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The processes, and the names of processes.
    pub endpoints: Vec<Endpoint>,
    /// Time between two samples.
    pub interval: Duration,
    /// Whether to end after one report.
    pub once: bool,
    /// Whether reports are JSON.
    pub json: bool,
}

/// Watches until it is told to end: on a terminal, or with a report on standard output after each interval.
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
