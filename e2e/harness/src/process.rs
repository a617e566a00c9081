//! A child process that can be started, frozen and killed repeatedly, and never outlives the test.
//!
//! Dropping it kills it; a [`Watchdog`] kills it if the test process dies without dropping it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process, kill_process_group};

use crate::eventually::eventually;
use crate::watchdog::Watchdog;

pub use rustix::process::Signal;

/// Longer than any server here takes to end by itself.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Its status: a code or a signal.
    pub status: ExitStatus,
    /// How long it took, from the start of the wait.
    pub after: Duration,
}

/// A program with its arguments, running or not.
pub struct Process {
    command: Command,
    logs: Arc<Mutex<Vec<String>>>,
    running: Option<Running>,
}

struct Running {
    child: Mutex<Child>,
    _watchdog: Watchdog,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Creates the process without starting it.
    #[must_use]
    pub fn new(mut command: Command) -> Self {
        // A separate process group: Ctrl-C in the terminal reaches only the tests, which then end it.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        Self {
            command,
            logs: Arc::default(),
            running: None,
        }
    }

    /// Starts it now; panics if it runs already.
    pub fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name());
        let name = self.name();
        let mut child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start {name}: {error}"));
        let readers = vec![
            self.read(child.stdout.take().unwrap()),
            self.read(child.stderr.take().unwrap()),
        ];
        let watchdog = Watchdog::of_group(child.id());
        self.running = Some(Running {
            child: Mutex::new(child),
            _watchdog: watchdog,
            readers,
        });
    }

    /// The process id; panics if it does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running().child.lock().unwrap().id()
    }

    /// Whether it was started and has not ended.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.status().is_none())
    }

    /// The lines it wrote so far to standard output and standard error, earlier starts included. The order of a line of one
    /// stream and a line of the other is arbitrary.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        self.logs.lock().unwrap().clone()
    }

    /// Its memory in bytes: `VmRSS` of `proc_pid_status(5)`.
    pub fn resident_bytes(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// Its maximum memory so far in bytes: `VmHWM` of `proc_pid_status(5)`.
    pub fn peak_resident_bytes(&self) -> usize {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let found = status.lines().find_map(|line| line.strip_prefix(field));
        let kibibytes = found.and_then(|text| text.trim().strip_suffix(" kB"));
        kibibytes.unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Sends a signal and returns at once.
    pub fn signal(&self, signal: Signal) {
        let child = self.running().child.lock().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
    }

    /// Sends SIGSTOP, and waits until all its threads are stopped: connections stay open without an answer.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        eventually(TIMEOUT, async || self.threads().all(|state| state == 'T')).await;
    }

    /// Sends SIGCONT: the process continues where [`Self::freeze`] stopped it.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends SIGKILL, and waits for the end. Does nothing if it does not run.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Sends SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> Exit {
        self.signal(Signal::TERM);
        self.exit(TIMEOUT).await
    }

    /// Waits until it ends by itself and all its output is read; panics with its last lines if it does not end `within`.
    pub async fn exit(&mut self, within: Duration) -> Exit {
        let started = Instant::now();
        let running = self.running();
        let status = eventually(within, async || running.status()).await;
        let after = started.elapsed();
        // Once this is dropped, its last output has been read.
        self.running = None;
        Exit { status, after }
    }

    fn running(&self) -> &Running {
        self.running
            .as_ref()
            .unwrap_or_else(|| panic!("{} does not run", self.name()))
    }

    fn name(&self) -> String {
        self.command.get_program().display().to_string()
    }

    fn read(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let logs = self.logs.clone();
        thread::spawn(move || {
            let lines = BufReader::new(stream).split(b'\n').map_while(Result::ok);
            for line in lines {
                let line = String::from_utf8_lossy(&line).into_owned();
                logs.lock().unwrap().push(line);
            }
        })
    }

    /// The state of each thread, from `proc_pid_stat(5)`: the letter after the parenthesised name.
    fn threads(&self) -> impl Iterator<Item = char> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap();
        tasks.filter_map(|task| {
            // A thread may end during the read.
            let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
            stat.rsplit_once(") ")?.1.chars().next()
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let logs = self.logs();
            let last = logs.len().saturating_sub(40);
            eprintln!(
                "last lines of {}:\n{}",
                self.name(),
                logs[last..].join("\n")
            );
        }
    }
}

impl Running {
    fn status(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        // After its status was read, the id may belong to another process.
        if let Ok(None) = child.try_wait() {
            // A group that is already gone is fine.
            let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
            let _ = child.wait();
        }
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}
