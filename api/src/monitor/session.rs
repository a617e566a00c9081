//! Rounds of requests, one at each interval, and the resulting state.

use super::endpoint::Endpoint;
use super::fleet::{Fleet, Moment};
use super::history::History;
use super::poll::{Event, Polls};
use super::report::Report;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A request may take as long as an interval, within these bounds.
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(5);

/// The requests in flight and the resulting state.
pub struct Session {
    fleet: Fleet,
    polls: Polls,
    /// The past rounds.
    pub history: History,
    interval: Duration,
    ticks: Interval,
    is_open: bool,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A round began, or the state of a process changed.
    News,
    /// Every process has answered or failed, or it is time for the next round.
    RoundEnded,
}

impl Session {
    /// The first round begins with the first step.
    pub fn new(endpoints: Vec<Endpoint>, every: Duration) -> Self {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            fleet: Fleet::new(endpoints),
            polls: Polls::new(every.clamp(MIN_TIMEOUT, MAX_TIMEOUT)),
            history: History::default(),
            interval: every,
            ticks,
            is_open: false,
        }
    }

    /// Waits for the next event. Safe to cancel: nothing is lost.
    ///
    /// # Errors
    /// A task panicked.
    pub async fn step(&mut self) -> anyhow::Result<Step> {
        tokio::select! {
            _ = self.ticks.tick() => {
                let is_late = self.is_open;
                if is_late {
                    self.end_round();
                }
                self.begin_round();
                Ok(if is_late { Step::RoundEnded } else { Step::News })
            }
            event = self.polls.next() => {
                self.take(event?);
                if self.is_open && self.polls.is_idle() {
                    self.end_round();
                    return Ok(Step::RoundEnded);
                }
                Ok(Step::News)
            }
        }
    }

    /// The current report.
    pub fn report(&self) -> Report {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = Moment {
            at: Instant::now(),
            unix_seconds: since_epoch.unwrap_or_default().as_secs_f64(),
        };
        self.fleet.report(now, self.interval.as_secs_f64())
    }

    fn begin_round(&mut self) {
        self.is_open = true;
        self.polls.lookup(self.fleet.endpoints());
        self.fleet.targets().for_each(|it| self.polls.fetch(it));
    }

    fn end_round(&mut self) {
        self.is_open = false;
        let report = self.report();
        self.history.push(&report);
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Answered { target, at, answer } => self.fleet.answered(&target, at, *answer),
            Event::Resolved { endpoint, found } => {
                // New processes are queried in this round.
                let known: Vec<_> = self.fleet.targets().map(|it| it.name.clone()).collect();
                self.fleet.resolved(endpoint, found);
                let targets = self.fleet.targets();
                targets
                    .filter(|it| !known.contains(&it.name))
                    .for_each(|it| self.polls.fetch(it));
            }
        }
    }
}
