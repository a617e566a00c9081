//! The promise of the connection budget, checked repeatedly during changes.

use reckon_e2e::cluster::Cluster;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

/// Time between two checks.
const LOOK: Duration = Duration::from_millis(250);

/// The observations during an action.
#[derive(Debug, Default)]
pub struct Observed {
    /// Looks.
    pub looks: u32,
    /// Maximum of (greatest number of replicas + 2 x maxSurge) x greatest pool of the template or a living pod.
    pub greatest_plan: u64,
    /// Maximum of the sum of the pools of all living pods.
    pub greatest_pools: u64,
    /// Each step, once: the autoscaler's maximum, the template's pool, the pools of the pods.
    pub steps: Vec<String>,
}

/// Does something, and looks at Deployment, autoscaler and pods of `shop` all the while.
pub fn watched(cluster: &Cluster, deed: impl FnOnce()) -> Observed {
    let done = AtomicBool::new(false);
    scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = Observed::default();
            while !done.load(Ordering::Relaxed) {
                seen.look(cluster);
                sleep(LOOK);
            }
            seen
        });
        // A panic in the action must also end the other thread.
        let end = Defer(|| done.store(true, Ordering::Relaxed));
        deed();
        drop(end);
        watching.join().unwrap()
    })
}

struct Defer<F: Fn()>(F);

impl<F: Fn()> Drop for Defer<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Observed {
    fn look(&mut self, cluster: &Cluster) {
        let objects = cluster.object(
            "deployment,hpa,pods -l app.kubernetes.io/instance=shop,app.kubernetes.io/component=api",
        );
        let objects = objects["items"].as_array().unwrap();
        let of = |kind: &'static str| objects.iter().filter(move |object| object["kind"] == kind);
        let deployment = of("Deployment").next().unwrap();
        let replicas = number(&deployment["spec"]["replicas"]);
        let maximum = of("HorizontalPodAutoscaler")
            .next()
            .map(|autoscaler| number(&autoscaler["spec"]["maxReplicas"]));
        let template = pool(&deployment["spec"]["template"]);
        // A pod whose processes have ended holds no connection, although it still exists.
        let alive = |pod: &&Value| {
            !matches!(
                pod["status"]["phase"].as_str(),
                Some("Succeeded" | "Failed")
            )
        };
        let pools: Vec<u64> = of("Pod").filter(alive).map(pool).collect();

        let surge = number(&deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]);
        let most = replicas.max(maximum.unwrap_or(0)) + 2 * surge;
        let greatest = pools.iter().copied().max().unwrap_or(0).max(template);
        self.looks += 1;
        self.greatest_plan = self.greatest_plan.max(most * greatest);
        self.greatest_pools = self.greatest_pools.max(pools.iter().sum());
        let maximum = maximum.map_or("no autoscaler".to_owned(), |maximum| {
            format!("maximum {maximum}")
        });
        let step = format!("{maximum}, template {template}, pods {pools:?}");
        if self.steps.last() != Some(&step) {
            self.steps.push(step);
        }
    }

    /// Checks that it was never more than `allowance`.
    #[track_caller]
    pub fn assert_within(&self, allowance: u64) {
        for step in &self.steps {
            eprintln!("        {step}");
        }
        eprintln!(
            "        {} looks: at most {} connections planned for, {} in pools; {allowance} allowed",
            self.looks, self.greatest_plan, self.greatest_pools
        );
        assert!(
            self.looks > 0 && self.greatest_plan <= allowance,
            "{self:?}"
        );
    }

    /// The index of the first step that contains `text`. Steps are in order.
    #[track_caller]
    pub fn first(&self, text: &str) -> usize {
        let found = self.steps.iter().position(|step| step.contains(text));
        found.unwrap_or_else(|| panic!("never {text}: {:#?}", self.steps))
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The pool of a pod or a template.
fn pool(object: &Value) -> u64 {
    let text = object["metadata"]["annotations"]["reckon.dev/pool"].as_str();
    text.unwrap().parse().unwrap()
}
