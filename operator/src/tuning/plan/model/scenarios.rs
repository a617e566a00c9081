//! Compares the model with `scenarios.txt`. Kubernetes's own controllers are compared with this file too
//! (`e2e/tests/api_server/real_controllers.rs`).

use super::{Deployment, Dice, Kind, NEVER, World};
use crate::tuning::Surge;
use crate::tuning::plan::Evictions;
use jiff::Timestamp;
use std::fmt::Write as _;

const SCENARIOS: &str = include_str!("scenarios.txt");

/// The image of a template: even ones can become ready.
fn kind(name: &str) -> Kind {
    let letter = u32::from(name.as_bytes()[0] - b'a');
    Kind {
        image: 2 * letter,
        pool: 1,
        grace: 30,
    }
}

impl World {
    /// Lets the controllers act until nothing is left to do. No pod becomes ready or ends by itself.
    fn rest(&mut self) {
        for _ in 0..200 {
            self.step(self.now + 1);
            for pod in &mut self.pods {
                if pod.ready > 0 {
                    pod.ready = NEVER;
                }
                pod.gone = NEVER;
            }
            for set in &mut self.sets {
                set.due = set.due.min(self.now + 1);
            }
            self.deployment_due = self.deployment_due.min(self.now + 1);
        }
        self.count_healthy();
    }

    fn change(&mut self, change: impl FnOnce(&mut Deployment)) {
        let deployment = self.deployment.as_mut().unwrap();
        change(deployment);
        deployment.generation += 1;
    }

    /// One step; returns what the eviction API answers.
    fn play(&mut self, step: &str) -> &'static str {
        let words: Vec<&str> = step.split_whitespace().collect();
        let number = |index: usize| -> u32 { words[index].parse().unwrap() };
        match words[0] {
            "service" => {
                self.deployment = Some(Deployment {
                    kind: kind("a"),
                    min_ready: 0,
                    surge: Surge::Pods(number(2)),
                    paused: None,
                    replicas: number(1),
                    generation: 1,
                    observed: 0,
                    current: 0,
                    updated: 0,
                    available: 0,
                    former: None,
                    lowered: None,
                    version: 1,
                });
            }
            "template" => self.change(|it| it.kind = kind(words[1])),
            "scale" => self.change(|it| it.replicas = number(1)),
            "surge" => self.change(|it| it.surge = Surge::Pods(number(1))),
            "pause" => self.change(|it| it.paused = Some(1)),
            "resume" => self.change(|it| it.paused = None),
            "ready" => {
                let most = usize::try_from(number(2)).unwrap();
                let of = kind(words[1]);
                let waiting = self
                    .pods
                    .iter_mut()
                    .filter(|pod| pod.kind == of && pod.deleted.is_none() && pod.ready == NEVER);
                for pod in waiting.take(most) {
                    pod.ready = 0;
                }
            }
            "gone" => self.pods.retain(|pod| pod.deleted.is_none()),
            "budget" => {
                let evictions = match words[1] {
                    "open" => Evictions::Open,
                    _ => Evictions::Held {
                        since: Timestamp::UNIX_EPOCH,
                    },
                };
                self.write_budget(evictions, 1);
            }
            "evict" => {
                let of = kind(words[1]);
                let ready = words[2] == "ready";
                let found = self.pods.iter().position(|pod| {
                    pod.kind == of && pod.deleted.is_none() && (pod.ready == 0) == ready
                });
                return match found.map(|pod| self.try_evict(pod)) {
                    Some(true) => "evicted; ",
                    Some(false) => "refused; ",
                    None => "no such pod; ",
                };
            }
            other => panic!("{other}"),
        }
        ""
    }

    fn sizes(&self) -> String {
        let mut text = String::new();
        for (letter, name) in ["a", "b", "c"].into_iter().enumerate() {
            let of = kind(name);
            assert_eq!(usize::try_from(of.image).unwrap(), 2 * letter);
            let Some(set) = self.sets.iter().find(|set| set.kind == of) else {
                continue;
            };
            if set.replicas + set.current > 0 {
                let (wanted, there, available) = (set.replicas, set.current, set.available);
                write!(text, " {name} {wanted}/{there}/{available}").unwrap();
            }
        }
        text
    }
}

#[test]
fn the_model_behaves_like_kubernetes() {
    let mut played = String::new();
    let mut world = None;
    for line in SCENARIOS.lines() {
        if !line.starts_with("  ") {
            world = (!line.is_empty()).then(|| {
                let mut world = World::new(Dice(1), Dice(2));
                world.lag = 0;
                world
            });
            writeln!(played, "{line}").unwrap();
            continue;
        }
        let world = world.as_mut().unwrap();
        let step = line.split(" -> ").next().unwrap().trim();
        let answer = world.play(step);
        world.rest();
        let sizes = world.sizes();
        writeln!(played, "  {step} -> {answer}{}", sizes.trim_start()).unwrap();
    }
    if std::env::var_os("RECKON_WRITE_SCENARIOS").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/tuning/plan/model/scenarios.txt"
        );
        std::fs::write(path, &played).unwrap();
    }
    assert_eq!(played, SCENARIOS);
}
