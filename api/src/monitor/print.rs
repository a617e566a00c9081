//! Reports on standard output, one after each interval.

use super::report::Report;
use super::session::{Session, Step};
use super::text::text;
use anyhow::{Context as _, bail};
use std::io::{ErrorKind, Write as _, stdout};

/// A rate requires two samples.
const SAMPLES: u32 = 2;

/// Prints a report after each round from the second on, until standard output is closed; with `once`, only the first one.
pub async fn run(mut session: Session, once: bool, json: bool) -> anyhow::Result<()> {
    let mut rounds = 0;
    loop {
        if session.step().await? != Step::RoundEnded {
            continue;
        }
        rounds += 1;
        if rounds < SAMPLES {
            continue;
        }
        let report = session.report();
        let is_first = rounds == SAMPLES;
        if !print(&rendered(&report, json, is_first)?)? {
            return Ok(());
        }
        if once {
            if report.total.answering == 0 {
                bail!("no process answered");
            }
            return Ok(());
        }
    }
}

fn rendered(report: &Report, json: bool, is_first: bool) -> anyhow::Result<String> {
    if json {
        let line = serde_json::to_string(report).context("failed to write the report")?;
        return Ok(line + "\n");
    }
    let gap = if is_first { "" } else { "\n" };
    Ok(format!("{gap}{}", text(report)))
}

/// Prints; returns whether standard output is still open.
fn print(text: &str) -> anyhow::Result<bool> {
    let mut stdout = stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("failed to write to standard output"),
    }
}
