//! A service under mixed load for many minutes, while something is killed every 30 seconds: `make soak`.

mod clients;
mod kills;
mod memory;
mod result;

use super::database::Database;
use super::measure::{commit, load_average, tenths};
use super::recorder::Recorder;
use super::service::{Kind, Pods, Service};
use super::subject::{Mode, Subject};
use clients::Soaking;
use kills::{KINDS, KillEvent};
use memory::Memory;
pub use result::Soak;
use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// From one kill to the next, if the service has settled by then.
const EVERY: Duration = Duration::from_secs(30);
/// Interval of samples of the memory.
const MEMORY: Duration = Duration::from_secs(10);

const SERVICE: Service = Service {
    pods: Pods::Fixed(3),
    budget: 20,
    kind: Kind::Complete,
};

/// How long, and in which order things are killed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub mode: Mode,
    pub duration: Duration,
    pub seed: u64,
}

/// Creates a service, soaks it, and deletes it.
pub fn soak(database: Database<'_>, plan: Plan) -> Soak {
    Subject::delete(database.cluster, &database);
    // In planned mode the account has no limit, so that more connections than the bound are counted and not refused.
    database.make_account(match plan.mode {
        Mode::Server => SERVICE.budget,
        _ => 0,
    });
    database.fill_for_soak();
    let subject = Subject::create(database, plan.mode, SERVICE);
    eprintln!("        {:>4.0} s  settled", subject.seconds());
    let soak = run(&subject, plan);
    Subject::delete(database.cluster, &database);
    soak
}

fn run(subject: &Subject<'_>, plan: Plan) -> Soak {
    let clients = Soaking::start(subject, plan.seed);
    let recorder = Recorder::start(&subject.database, subject.processes.clone());
    let load = load_average();
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut memory = Memory::default();
    let mut happened = Vec::<KillEvent>::new();
    let mut bag = Vec::new();
    let began = Instant::now();
    memory.quiet(subject, Instant::now() + EVERY / 2, MEMORY);
    while began.elapsed() + EVERY < plan.duration {
        let due = Instant::now() + EVERY;
        // All kinds once in a random order, then again.
        if bag.is_empty() {
            bag = KINDS.to_vec();
            random.shuffle(&mut bag);
        }
        let kind = bag.pop().unwrap();
        happened.push(kind.run(subject, &mut random));
        memory.quiet(subject, due, MEMORY);
    }
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let load = (load.min(load_average()), load.max(load_average()));
    let told = clients.stop();
    let recording = recorder.stop();
    let mut soak = Soak {
        mode: plan.mode,
        flavour: subject.database.flavour,
        server: subject.database.version(),
        commit: commit(),
        seed: plan.seed,
        minutes: tenths(minutes),
        bound: SERVICE.budget,
        greatest_connections: recording.peak_connections(),
        greatest_pods: recording.peak_pods(),
        samples: recording.samples(),
        load_average: load,
        memory,
        requests: told.requests,
        events: told.events,
        caches: told.caches,
        milliseconds: told.milliseconds,
        kills: BTreeMap::new(),
        unexplained: Vec::new(),
        unexplained_failures: 0,
    };
    soak.explain(&told.failures, &happened);
    soak
}

/// Until a time.
fn until(due: Instant) {
    sleep(due.saturating_duration_since(Instant::now()));
}
