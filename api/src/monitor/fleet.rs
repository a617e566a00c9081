//! The monitored processes and the state of each, without I/O; time is an argument.

use super::endpoint::{Endpoint, MAX_PROCESSES, Target};
use super::failure::Failure;
use super::figures::{Figures, Window, ratio};
use super::report::{Process, Report, SharedCache, State, Total};
use super::sample::Sample;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// For differences.
    pub at: Instant,
    /// For display: Unix time in seconds.
    pub unix_seconds: f64,
}

/// All monitored processes.
pub struct Fleet {
    endpoints: Vec<Endpoint>,
    /// The state of each endpoint's processes, in the order of the endpoints.
    groups: Vec<Group>,
}

#[derive(Default)]
struct Group {
    watched: Vec<Watched>,
    notice: Option<String>,
}

struct Watched {
    target: Arc<Target>,
    /// The last answer, even if it is old. Later answers are compared with it.
    last: Option<(Instant, Sample)>,
    known: Known,
}

/// The current state of a process.
enum Known {
    /// No answer yet.
    Nothing,
    /// The last request was answered; the counts since the answer before it.
    Answered(Option<Window>),
    /// The last request failed, so there are no figures.
    Failed(Failure),
}

impl Fleet {
    /// The processes of these endpoints. Names are not resolved yet.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        let mut names = BTreeSet::new();
        let mut group = |endpoint: &Endpoint| {
            let target = endpoint.target();
            let target = target.filter(|target| names.insert(target.name.clone()));
            Group {
                watched: target.map(Watched::new).into_iter().collect(),
                notice: None,
            }
        };
        let groups = endpoints.iter().map(&mut group).collect();
        Self { endpoints, groups }
    }

    /// The endpoints from the command line.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The processes, in order.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        let watched = self.groups.iter().flat_map(|group| &group.watched);
        watched.map(|process| &process.target)
    }

    /// Applies the addresses of a name. If the look-up failed (`None`), the processes remain and are still queried.
    pub fn resolved(&mut self, endpoint: usize, found: Option<Vec<SocketAddr>>) {
        let name = &self.endpoints[endpoint];
        let Some(found) = found else {
            self.groups[endpoint].notice = Some(format!("{name}: the name cannot be looked up"));
            if !name.is_many && self.groups[endpoint].watched.is_empty() {
                self.replace(endpoint, &name.targets(Vec::new()));
            }
            return;
        };
        let mut targets = name.targets(found);
        let elsewhere = self.elsewhere(endpoint);
        targets.retain(|target| !elsewhere.contains(&target.name));
        let room = MAX_PROCESSES.saturating_sub(elsewhere.len());
        self.groups[endpoint].notice = (targets.len() > room).then(|| {
            format!(
                "{name}: watching {room} of {} processes, the limit",
                targets.len()
            )
        });
        targets.truncate(room);
        self.replace(endpoint, &targets);
    }

    /// The names of processes of all other endpoints.
    fn elsewhere(&self, endpoint: usize) -> Vec<String> {
        let groups = self.groups.iter().enumerate();
        let others = groups.filter(|(index, _)| *index != endpoint);
        let watched = others.flat_map(|(_, group)| &group.watched);
        watched.map(|process| process.target.name.clone()).collect()
    }

    fn replace(&mut self, endpoint: usize, targets: &[Arc<Target>]) {
        let watched = &mut self.groups[endpoint].watched;
        let mut before = std::mem::take(watched);
        for target in targets {
            let known = before.iter().position(|it| it.target.name == target.name);
            let mut process = match known {
                Some(index) => before.swap_remove(index),
                None => Watched::new(Arc::clone(target)),
            };
            process.target = Arc::clone(target);
            watched.push(process);
        }
    }

    /// Applies an answer; an answer of a process that is no longer monitored is dropped.
    pub fn answered(&mut self, target: &Target, at: Instant, answer: Result<Sample, Failure>) {
        let mut watched = self.groups.iter_mut().flat_map(|it| &mut it.watched);
        let Some(process) = watched.find(|it| it.target.name == target.name) else {
            return;
        };
        process.known = match answer {
            Err(failure) => Known::Failed(failure),
            Ok(sample) => {
                let before = process.last.as_ref();
                let window = before.and_then(|(before_at, before)| {
                    let seconds = at.saturating_duration_since(*before_at).as_secs_f64();
                    Window::between(before, &sample, seconds)
                });
                process.last = Some((at, sample));
                Known::Answered(window)
            }
        };
    }

    /// The current report.
    pub fn report(&self, now: Moment, interval_seconds: f64) -> Report {
        let mut total = Total::default();
        let (mut recent, mut since_start) = (Vec::new(), Vec::new());
        let mut processes = Vec::new();
        for watched in self.groups.iter().flat_map(|group| &group.watched) {
            let process = watched.report(now);
            total.count(process.state);
            if let (Known::Answered(window), Some((_, sample))) = (&watched.known, &watched.last) {
                total.now.merge(&sample.gauges);
                recent.extend(window.as_ref());
                since_start.push(Window::since_start(sample, now.unix_seconds));
            }
            processes.push(process);
        }
        let connections = total.now.store_open.zip(total.now.store_limit);
        total.database_budget_ratio = connections.and_then(|(open, limit)| ratio(open, limit));
        total.recent = Figures::of(recent);
        total.since_start = Figures::of(&since_start);
        Report {
            unix_seconds: now.unix_seconds,
            interval_seconds,
            total,
            processes,
            notices: self
                .groups
                .iter()
                .filter_map(|it| it.notice.clone())
                .collect(),
        }
    }
}

impl Watched {
    fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            last: None,
            known: Known::Nothing,
        }
    }

    fn report(&self, now: Moment) -> Process {
        let mut process = Process::new(&self.target.name);
        match (&self.known, &self.last) {
            (Known::Answered(window), Some((_, sample))) => {
                process.state = state(sample, window.as_ref());
                process.version.clone_from(&sample.version);
                process.uptime_seconds = sample
                    .start_time
                    .map(|start| (now.unix_seconds - start).max(0.0));
                process.store_up = sample.store_up;
                process.shared_cache = Some(match sample.shared_connected {
                    None => SharedCache::None,
                    Some(true) => SharedCache::Connected,
                    Some(false) => SharedCache::Disconnected,
                });
                process.now = sample.gauges.clone();
                process.recent = Figures::of(window.as_ref());
                process.since_start = Figures::of([&Window::since_start(sample, now.unix_seconds)]);
            }
            (Known::Failed(failure), last) => {
                process.state = State::Unreachable;
                process.error = Some(failure.to_string());
                let ago = |at: &Instant| now.at.saturating_duration_since(*at).as_secs_f64();
                process.last_answer_seconds_ago = last.as_ref().map(|(at, _)| ago(at));
            }
            (Known::Nothing | Known::Answered(_), _) => {}
        }
        process
    }
}

fn state(sample: &Sample, window: Option<&Window>) -> State {
    if sample.store_up == Some(false) {
        State::StoreDown
    } else if sample.shared_connected == Some(false) {
        State::Degraded
    } else if window.is_some_and(|window| window.restarted) {
        State::Restarted
    } else {
        State::Up
    }
}

#[cfg(test)]
mod tests;
