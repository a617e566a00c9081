//! Processes of the cluster, as the machine sees them: they are visible among this machine's own, so no API server is
//! needed.

use reckon_e2e::cluster::Cluster;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// Finds processes of one cluster.
#[derive(Clone)]
pub struct Processes {
    /// The common part of the names of the nodes' cgroups.
    cluster: String,
    /// The account of the pods.
    account: String,
}

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    cgroup: String,
}

impl Processes {
    /// Finds the processes of a cluster; the API's pods use this account.
    pub fn of(cluster: &Cluster, account: &str) -> Self {
        let own = cluster.inside(&["cat", "/proc/1/cgroup"], "").unwrap();
        let path = own.lines().find_map(|line| line.split_once(":memory:"));
        // "/reckon-HASH"; the second node has another word before the hash.
        let (_, hash) = path.unwrap().1.split_once('-').unwrap();
        Self {
            cluster: format!("-{hash}"),
            account: account.to_owned(),
        }
    }

    /// The account of the pods.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The processes with this name.
    pub fn named(&self, name: &str) -> Vec<Process> {
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let processes = pids.filter_map(|pid| {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
            if read("comm")?.trim() != name {
                return None;
            }
            let cgroup = read("cgroup")?;
            let ours = cgroup.contains(&self.cluster);
            ours.then_some(Process { pid, cgroup })
        });
        processes.collect()
    }

    /// The processes of the API that use the account: one for each pod that can have connections, even if Kubernetes no
    /// longer counts the pod.
    pub fn api(&self) -> Vec<Process> {
        let mut processes = self.named("reckon-api");
        processes.retain(|process| process.uses(&self.account));
        processes
    }

    /// The process of a pod.
    pub fn of_pod(&self, uid: &str) -> Option<Process> {
        self.api()
            .into_iter()
            .find(|process| process.cgroup.contains(uid))
    }
}

impl Process {
    fn uses(&self, account: &str) -> bool {
        let wanted = format!("DB_USER={account}");
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.pid));
        let serves = read("cmdline").is_ok_and(|line| line.split('\0').nth(1) == Some("serve"));
        // A process that has ended, and waits for its parent, has neither.
        serves && read("environ").is_ok_and(|text| text.split('\0').any(|entry| entry == wanted))
    }

    /// Ends it as in a lack of memory (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Suspends it until the value is dropped, or for good if it is killed meanwhile.
    pub fn suspend(self) -> Suspended {
        self.signal(Signal::STOP);
        Suspended(self)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid).unwrap(), signal).ok();
    }
}

/// A process that does not run.
pub struct Suspended(Process);

impl Drop for Suspended {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}
