//! The controllers of Deployments, `ReplicaSet`s and autoscalers.

use super::super::super::Pause;
use super::{Set, World};

impl World {
    pub(super) fn autoscale(&mut self) {
        let (Some(hpa), Some(mut deployment)) = (self.hpa, self.deployment) else {
            return;
        };
        if deployment.replicas == 0 || !self.dice.percent(7) {
            return;
        }
        let wanted = if self.dice.percent(30) {
            self.dice.number(hpa.min, hpa.max)
        } else {
            deployment.replicas
        };
        let wanted = wanted.clamp(hpa.min, hpa.max);
        if wanted != deployment.replicas {
            deployment.replicas = wanted;
            deployment.generation += 1;
            self.deployment = Some(deployment);
        }
    }

    /// One sync of the Deployment's controller: maxUnavailable is 0.
    pub(super) fn sync_deployment(&mut self) {
        let Some(mut deployment) = self.deployment else {
            return;
        };
        deployment.observed = deployment.generation;
        self.deployment = Some(deployment);
        self.sets
            .retain(|set| set.replicas > 0 || set.kind == deployment.kind);
        let wanted = deployment.replicas;
        let most = wanted + deployment.surge.pods(wanted);
        if deployment.pause != Pause::Off {
            self.resize(wanted, most);
            return;
        }
        let newest = self.sets.iter().position(|set| set.kind == deployment.kind);
        let newest = newest.unwrap_or_else(|| {
            self.sets.push(Set {
                kind: deployment.kind,
                replicas: 0,
            });
            self.sets.len() - 1
        });
        // Adds new pods, or removes surplus ones of all templates.
        let total = self.total();
        if self.sets[newest].replicas > wanted {
            self.sets[newest].replicas = wanted;
        } else if total < most {
            let missing = wanted - self.sets[newest].replicas;
            self.sets[newest].replicas += missing.min(most - total);
        }
        self.trim(most);
        self.remove_old(newest, wanted);
    }

    /// Resizes a paused Deployment. With one template, it gets exactly the wanted number of pods; with several
    /// templates, extra pods too.
    fn resize(&mut self, wanted: u32, most: u32) {
        let active: Vec<usize> = (0..self.sets.len())
            .filter(|&index| self.sets[index].replicas > 0)
            .collect();
        match active.as_slice() {
            [] => {}
            [only] => self.sets[*only].replicas = wanted,
            [first, ..] => {
                self.sets[*first].replicas += most.saturating_sub(self.total());
                self.trim(most);
            }
        }
    }

    /// Removes surplus pods, of the greatest set first.
    fn trim(&mut self, most: u32) {
        for _ in most..self.total() {
            let greatest = (0..self.sets.len()).max_by_key(|&index| self.sets[index].replicas);
            self.sets[greatest.unwrap()].replicas -= 1;
        }
    }

    /// Removes old pods: first those that are not ready, then others as long as more pods than wanted are available.
    fn remove_old(&mut self, newest: usize, wanted: u32) {
        let old: Vec<usize> = (0..self.sets.len())
            .filter(|&index| index != newest)
            .collect();
        let unavailable = self.sets[newest]
            .replicas
            .saturating_sub(self.count(newest, true));
        let mut removable = self.total().saturating_sub(wanted + unavailable);
        for &index in &old {
            let unready = self.sets[index]
                .replicas
                .saturating_sub(self.count(index, true));
            let removed = unready.min(removable);
            self.sets[index].replicas -= removed;
            removable -= removed;
        }
        let available: u32 = (0..self.sets.len())
            .map(|index| self.count(index, true))
            .sum();
        let mut left = available.saturating_sub(wanted).min(removable);
        for &index in &old {
            let removed = self.sets[index].replicas.min(left);
            self.sets[index].replicas -= removed;
            left -= removed;
        }
    }

    fn total(&self) -> u32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// Pods of a set that are not terminating.
    fn count(&self, index: usize, is_ready: bool) -> u32 {
        let kind = self.sets[index].kind;
        let own = self.pods.iter().filter(|pod| {
            pod.kind == kind && pod.deleted.is_none() && (!is_ready || self.is_available(pod))
        });
        u32::try_from(own.count()).unwrap()
    }

    pub(super) fn sync_sets(&mut self) {
        for index in 0..self.sets.len() {
            let Set { kind, replicas } = self.sets[index];
            let present = self.count(index, false);
            for _ in present..replicas {
                self.add_pod(kind);
            }
            let mut own: Vec<usize> = (0..self.pods.len())
                .filter(|&pod| self.pods[pod].kind == kind && self.pods[pod].deleted.is_none())
                .collect();
            // First the pods that are not ready, then the youngest.
            own.sort_by_key(|&pod| {
                (
                    self.pods[pod].ready.is_some(),
                    std::cmp::Reverse(self.pods[pod].id),
                )
            });
            let surplus = present.saturating_sub(replicas);
            for pod in own.into_iter().take(usize::try_from(surplus).unwrap()) {
                self.delete(pod);
            }
        }
        // Pods of a set that no longer exists.
        let kinds: Vec<_> = self.sets.iter().map(|set| set.kind).collect();
        for index in 0..self.pods.len() {
            if !kinds.contains(&self.pods[index].kind) {
                self.delete(index);
            }
        }
    }
}
