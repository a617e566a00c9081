//! Options of `monitor`.

use crate::args::values::interval;
use crate::monitor;
use crate::monitor::endpoint::{Endpoint, MAX_PROCESSES};
use anyhow::bail;
use clap::Args;
use std::time::Duration;

/// Options of `monitor`.
#[derive(Clone, Debug, Args)]
pub struct Monitor {
    /// Address of a process. Without a port: 9464. Without addresses and names: the process on this machine.
    #[arg(value_name = "URL", value_parser = Endpoint::process)]
    processes: Vec<Endpoint>,
    /// DNS name, such as that of a headless Service; each of its addresses is a process. Resolved at each interval. Can be
    /// repeated.
    #[arg(long = "dns", value_name = "NAME:PORT", value_parser = Endpoint::name)]
    names: Vec<Endpoint>,
    /// Time between two samples, 500ms to 1h. The timeout of a request is the same, but at least 1 s and at most 5 s.
    #[arg(long, value_parser = interval, default_value = "2s", value_name = "TIME")]
    interval: Duration,
    /// Print one report, from two samples one interval apart, and exit. Exit status 1 if no process answers.
    #[arg(long)]
    once: bool,
    /// Print JSON: with --once one document, otherwise one line after each interval.
    #[arg(long)]
    json: bool,
}

impl Monitor {
    /// What to monitor, and how.
    ///
    /// # Errors
    /// Too many processes.
    pub fn resolve(self) -> anyhow::Result<monitor::Options> {
        let mut endpoints = self.processes;
        endpoints.extend(self.names);
        if endpoints.is_empty() {
            endpoints.push(Endpoint::local());
        }
        if endpoints.len() > MAX_PROCESSES {
            bail!(
                "{} addresses and names: expected at most {MAX_PROCESSES}",
                endpoints.len()
            );
        }
        Ok(monitor::Options {
            endpoints,
            interval: self.interval,
            once: self.once,
            json: self.json,
        })
    }
}
