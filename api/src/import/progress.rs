//! Shows progress: a bar on a terminal, otherwise one line for each tenth.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

/// The progress of one operation; the bar disappears when it is dropped.
pub struct Progress {
    what: String,
    unit: &'static str,
    total: u64,
    /// The last tenth that was reported.
    tenth: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins with `done` of `total`; `what` is a short description.
    pub fn new(what: String, unit: &'static str, done: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_position(done);
            bar.with_style(style()).with_message(what.clone())
        });
        Self {
            what,
            unit,
            total,
            tenth: tenth(done, total),
            bar,
        }
    }

    /// Reports that `done` is done.
    pub fn set(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let tenth = tenth(done, self.total);
        if tenth > self.tenth && tenth < 10 {
            self.tenth = tenth;
            let (done, total) = (HumanCount(done), HumanCount(self.total));
            eprintln!("{}: {done} of {total} {}", self.what, self.unit);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn tenth(done: u64, total: u64) -> u64 {
    done.saturating_mul(10).checked_div(total).unwrap_or(10)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
