//! Requests and look-ups in flight: at most one for each process and each name.

use super::endpoint::{Endpoint, Target};
use super::failure::Failure;
use super::fetch::fetch;
use super::sample::Sample;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinHandle, JoinSet};

/// A completed request or look-up.
#[derive(Debug)]
pub enum Event {
    /// A process answered, or failed to.
    Answered {
        /// The process.
        target: Arc<Target>,
        /// When the answer was complete.
        at: Instant,
        /// The answer.
        answer: Box<Result<Sample, Failure>>,
    },
    /// The addresses of a name; `None` if the look-up failed or takes too long.
    Resolved {
        /// Its index in the list of endpoints.
        endpoint: usize,
        /// The addresses.
        found: Option<Vec<SocketAddr>>,
    },
}

type Lookup = JoinHandle<io::Result<Vec<SocketAddr>>>;

enum Done {
    Event(Event),
    /// The name's look-up continues: a thread of the system's resolver cannot be stopped.
    Late(usize, Lookup),
}

/// Requests and look-ups in flight.
pub struct Polls {
    within: Duration,
    tasks: JoinSet<Done>,
    asked: BTreeSet<String>,
    looked_up: BTreeSet<usize>,
    late: BTreeMap<usize, Lookup>,
}

impl Polls {
    /// Starts empty; each request and look-up may take this long.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            tasks: JoinSet::new(),
            asked: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            late: BTreeMap::new(),
        }
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Requests the metrics of a process, unless a request to it is in flight.
    pub fn fetch(&mut self, target: &Arc<Target>) {
        if self.asked.insert(target.name.clone()) {
            let (target, within) = (Arc::clone(target), self.within);
            self.tasks.spawn(async move {
                let answer = Box::new(fetch(&target, within).await);
                let at = Instant::now();
                Done::Event(Event::Answered { target, at, answer })
            });
        }
    }

    /// Looks up the names among the endpoints with the system's resolver.
    pub fn lookup(&mut self, endpoints: &[Endpoint]) {
        for (index, endpoint) in endpoints.iter().enumerate() {
            let Some((name, port)) = endpoint.lookup() else {
                continue;
            };
            if !self.looked_up.insert(index) {
                continue;
            }
            let name = name.to_owned();
            let mut lookup = self.late.remove(&index).unwrap_or_else(|| {
                tokio::spawn(async move {
                    let found = tokio::net::lookup_host((name, port)).await?;
                    Ok(found.collect())
                })
            });
            let within = self.within;
            self.tasks.spawn(async move {
                match tokio::time::timeout(within, &mut lookup).await {
                    Err(_) => Done::Late(index, lookup),
                    Ok(found) => Done::Event(Event::Resolved {
                        endpoint: index,
                        found: found.ok().and_then(Result::ok),
                    }),
                }
            });
        }
    }

    /// The next completed request or look-up; never returns if nothing is in flight.
    ///
    /// # Errors
    /// A task panicked.
    pub async fn next(&mut self) -> anyhow::Result<Event> {
        let Some(done) = self.tasks.join_next().await else {
            return std::future::pending().await;
        };
        Ok(match done? {
            Done::Event(event) => {
                match &event {
                    Event::Answered { target, .. } => drop(self.asked.take(&target.name)),
                    Event::Resolved { endpoint, .. } => drop(self.looked_up.take(endpoint)),
                }
                event
            }
            Done::Late(endpoint, lookup) => {
                self.looked_up.remove(&endpoint);
                self.late.insert(endpoint, lookup);
                Event::Resolved {
                    endpoint,
                    found: None,
                }
            }
        })
    }
}
