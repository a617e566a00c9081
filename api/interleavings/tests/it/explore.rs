//! Runs a model many times, each time in another order of tasks.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, MaxSteps, Runner, replay};

/// Bytes of a task's stack.
const STACK: usize = 1 << 19;
/// A run with more steps fails: a task in it never ends. Models need far fewer.
const MAX_STEPS: usize = 100_000;
/// Maximum number of points in an order that a defect may depend on, so that the second scheduler finds it.
const DEPTH: usize = 3;

/// Half of the runs choose the task of each step at random. The other half assigns priorities and changes them at random points
/// (probabilistic concurrency testing, Burckhardt et al. 2010).
pub fn explore<F: Future<Output = ()> + 'static>(
    runs: usize,
    model: impl Fn() -> F + Copy + Send + Sync + 'static,
) {
    let once = move || shuttle::future::block_on(model());
    if let Ok(schedule) = std::env::var("SHUTTLE_SCHEDULE") {
        return replay(once, &schedule);
    }
    run(RandomScheduler::new(runs / 2), once);
    run(PctScheduler::new(DEPTH, runs / 2), once);
}

fn run(scheduler: impl Scheduler + 'static, once: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    Runner::new(scheduler, config).run(once);
}
