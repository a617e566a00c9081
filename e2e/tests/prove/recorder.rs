//! Samples connections and pods over time.

use super::database::Database;
use super::processes::Processes;
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

/// Interval of samples of the connections.
const EVERY: Duration = Duration::from_millis(50);
/// Samples of the connections between two of the processes.
const PROCESSES_EVERY: usize = 4;
/// Points of a series in the results.
const POINTS: u32 = 300;

/// A thread that samples until it is stopped.
pub struct Recorder {
    began: Instant,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Sample>>>,
    child: Child,
}

/// The state at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    connections: u32,
    pods: u32,
}

/// What was sampled.
pub struct Recording(Vec<Sample>);

/// Greatest values over time, of equal intervals.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Series {
    /// Length of an interval.
    pub milliseconds: u64,
    pub connections: Vec<u32>,
    pub pods: Vec<u32>,
}

impl Recorder {
    /// Starts.
    pub fn start(database: &Database<'_>, processes: Processes) -> Self {
        let mut child = database.session().spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let began = Instant::now();
        let done = Arc::new(AtomicBool::new(false));
        let ends = done.clone();
        let thread = spawn(move || sample(began, &ends, (stdin, stdout), &processes));
        Self {
            began,
            done,
            thread: Some(thread),
            child,
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Ends.
    pub fn stop(mut self) -> Recording {
        self.done.store(true, Ordering::Relaxed);
        let samples = self.thread.take().unwrap().join().unwrap();
        Recording(samples)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        // Its input has ended.
        self.child.wait().ok();
    }
}

fn sample(
    began: Instant,
    done: &AtomicBool,
    (mut stdin, stdout): (ChildStdin, ChildStdout),
    processes: &Processes,
) -> Vec<Sample> {
    let mut answers = BufReader::new(stdout).lines();
    let mut samples = Vec::<Sample>::new();
    let mut pods = 0;
    for number in 0_usize.. {
        if done.load(Ordering::Relaxed) {
            break;
        }
        let due = Instant::now() + EVERY;
        if number.is_multiple_of(PROCESSES_EVERY) {
            pods = u32::try_from(processes.api().len()).unwrap();
        }
        let account = processes.account();
        writeln!(
            stdin,
            "SELECT CONCAT({number}, ' ', COUNT(*)) FROM information_schema.PROCESSLIST WHERE USER = '{account}';"
        )
        .unwrap();
        if let Some(connections) = answer(&mut answers, number) {
            samples.push(Sample {
                at: began.elapsed(),
                connections,
                pods,
            });
        }
        sleep(due.saturating_duration_since(Instant::now()));
    }
    samples
}

/// The answer to that statement; none if the server has ended before.
fn answer(lines: &mut Lines<BufReader<ChildStdout>>, number: usize) -> Option<u32> {
    loop {
        let line = lines.next().expect("the sampler's session ended").unwrap();
        // A statement that the previous session has not read is answered too.
        let (of, connections) = line.split_once(' ')?;
        if of == number.to_string() {
            return Some(connections.parse().unwrap());
        }
    }
}

impl Recording {
    /// Greatest number of connections at once.
    pub fn peak_connections(&self) -> u32 {
        self.0
            .iter()
            .map(|sample| sample.connections)
            .max()
            .unwrap()
    }

    /// Greatest number of pods alive at once.
    pub fn peak_pods(&self) -> u32 {
        self.0.iter().map(|sample| sample.pods).max().unwrap()
    }

    /// Number of samples.
    pub fn samples(&self) -> usize {
        self.0.len()
    }

    /// The longest time between two samples, in milliseconds.
    pub fn longest_gap(&self) -> u64 {
        let gaps = self
            .0
            .windows(2)
            .map(|pair| pair[1].at.saturating_sub(pair[0].at));
        u64::try_from(gaps.max().unwrap_or_default().as_millis()).unwrap()
    }

    /// For a plot.
    pub fn series(&self) -> Series {
        let length = self.0.last().unwrap().at;
        let interval = (length / POINTS).max(EVERY * 4).as_millis();
        let mut connections = Vec::new();
        let mut pods = Vec::new();
        for sample in &self.0 {
            let index = usize::try_from(sample.at.as_millis() / interval).unwrap();
            raise(&mut connections, index, sample.connections);
            raise(&mut pods, index, sample.pods);
        }
        Series {
            milliseconds: u64::try_from(interval).unwrap(),
            connections,
            pods,
        }
    }
}

/// The value of an interval is its greatest sample. An interval without a sample has the value of the previous one.
fn raise(values: &mut Vec<u32>, index: usize, value: u32) {
    let last = values.last().copied().unwrap_or(value);
    values.resize(values.len().max(index), last);
    match values.get_mut(index) {
        Some(own) => *own = value.max(*own),
        None => values.push(value),
    }
}
