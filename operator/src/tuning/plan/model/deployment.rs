//! The controllers of Deployments and of `ReplicaSet`s.

use super::{Deployment, NEVER, Pod, ReplicaSet, World};

impl World {
    pub(super) fn sync_deployment(&mut self) {
        if self.deployment_due > self.now {
            return;
        }
        self.deployment_due = NEVER;
        let Some(deployment) = self.deployment else {
            return;
        };
        let newest = self.sets.iter().position(|set| set.kind == deployment.kind);
        if let Some(newest) = newest {
            self.sets[newest].min_ready = deployment.min_ready;
        }
        let scaled = self
            .sets
            .iter()
            .any(|set| set.replicas > 0 && set.desired != deployment.replicas);
        if deployment.paused.is_some() || scaled {
            self.scale_sets(deployment, newest);
        } else {
            // The next step follows the echo of this one: in reality after milliseconds, here later, so that others act
            // in between. One case in some 100,000 then shows the gap that the plan leaves (see there); the test contains
            // none.
            self.roll(deployment);
        }
        let current = self.sets.iter().map(|set| set.current).sum();
        let available = self.sets.iter().map(|set| set.available).sum();
        let newest = self.sets.iter().filter(|set| set.kind == deployment.kind);
        let updated = newest.map(|set| set.current).sum();
        let changed = Deployment {
            observed: deployment.generation,
            current,
            updated,
            available,
            ..deployment
        };
        if changed != deployment {
            let version = self.bump();
            self.deployment = Some(Deployment { version, ..changed });
        }
    }

    /// The `ReplicaSet`s of a Deployment whose `spec.replicas` changed, or that is paused.
    fn scale_sets(&mut self, deployment: Deployment, newest: Option<usize>) {
        let active: Vec<usize> = (0..self.sets.len())
            .filter(|&i| self.sets[i].replicas > 0)
            .collect();
        let total: u32 = self.sets.iter().map(|set| set.replicas).sum();
        if active.len() <= 1 {
            // Without any active one, the newest is resized.
            if let Some(only) = active.first().copied().or(newest) {
                self.resize(only, deployment.replicas, deployment.replicas);
            }
            return;
        }
        if newest.is_some_and(|newest| {
            self.sets[newest].current == deployment.replicas
                && self.sets[newest].available == deployment.replicas
                && self.sets[newest].replicas == deployment.replicas
        }) {
            for index in active {
                if Some(index) != newest {
                    self.resize(index, 0, deployment.replicas);
                }
            }
            return;
        }
        let allowed = deployment.replicas + 1;
        let mut order = active;
        // The greatest first; among equals, the newer ones first.
        order.sort_by_key(|&i| {
            (
                std::cmp::Reverse(self.sets[i].replicas),
                std::cmp::Reverse(i),
            )
        });
        let mut left = i64::from(allowed) - i64::from(total);
        let share = left;
        let mut sizes = Vec::new();
        for &index in &order {
            let size = i64::from(self.sets[index].replicas);
            let fraction =
                (size * share + share.signum() * i64::from(total) / 2) / i64::from(total).max(1);
            let part = if share > 0 {
                fraction.clamp(0, left.max(0))
            } else {
                fraction.clamp(left.min(0), 0)
            };
            left -= part;
            sizes.push((size + part).max(0));
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + left).max(0);
        }
        for (index, size) in order.into_iter().zip(sizes) {
            self.resize(index, u32::try_from(size).unwrap(), deployment.replicas);
        }
    }

    /// One step of a rollout.
    fn roll(&mut self, deployment: Deployment) {
        let newest = self
            .sets
            .iter()
            .position(|set| set.kind == deployment.kind)
            .unwrap_or_else(|| {
                self.sets.push(ReplicaSet {
                    kind: deployment.kind,
                    min_ready: deployment.min_ready,
                    replicas: 0,
                    desired: deployment.replicas,
                    current: 0,
                    available: 0,
                    due: NEVER,
                });
                self.sets.len() - 1
            });
        let wanted = deployment.replicas;
        let total = |sets: &[ReplicaSet]| sets.iter().map(|set| set.replicas).sum::<u32>();
        let size = self.sets[newest].replicas;
        let size = if size > wanted {
            wanted
        } else {
            size + (wanted + 1)
                .saturating_sub(total(&self.sets))
                .min(wanted - size)
        };
        if self.resize(newest, size, wanted) {
            return;
        }
        let new_unavailable =
            i64::from(self.sets[newest].replicas) - i64::from(self.sets[newest].available);
        let removable = i64::from(total(&self.sets)) - i64::from(wanted) - new_unavailable;
        let mut left = u32::try_from(removable).unwrap_or(0);
        for index in (0..self.sets.len()).filter(|&index| index != newest) {
            let set = self.sets[index];
            let unhealthy = set.replicas.saturating_sub(set.available).min(left);
            left -= unhealthy;
            self.resize(index, set.replicas - unhealthy, wanted);
        }
        if removable > 0 {
            let available: u32 = self.sets.iter().map(|set| set.available).sum();
            let mut left = available.saturating_sub(wanted);
            for index in (0..self.sets.len()).filter(|&index| index != newest) {
                let set = self.sets[index];
                let healthy = set.replicas.min(left);
                left -= healthy;
                self.resize(index, set.replicas - healthy, wanted);
            }
        }
    }

    fn resize(&mut self, index: usize, replicas: u32, desired: u32) -> bool {
        let later = self.later();
        let set = &mut self.sets[index];
        set.desired = desired;
        if set.replicas == replicas {
            return false;
        }
        set.replicas = replicas;
        set.due = set.due.min(later);
        self.touch_deployment();
        true
    }

    pub(super) fn sync_sets(&mut self) {
        for index in 0..self.sets.len() {
            if self.sets[index].due <= self.now {
                self.sets[index].due = NEVER;
                self.sync_set(index);
            }
        }
    }

    fn sync_set(&mut self, index: usize) {
        let now = self.now;
        let set = self.sets[index];
        let mut mine: Vec<usize> = (0..self.pods.len())
            .filter(|&i| self.pods[i].kind == set.kind && self.pods[i].deleted.is_none())
            .collect();
        let available = mine
            .iter()
            .filter(|&&i| self.pods[i].ready + set.min_ready <= now)
            .count();
        // The status reports the pods from before this sync.
        let (current, available) = (
            u32::try_from(mine.len()).unwrap(),
            u32::try_from(available).unwrap(),
        );
        if (current, available) != (set.current, set.available) {
            self.sets[index].current = current;
            self.sets[index].available = available;
            self.touch_deployment();
        }
        if current != set.replicas {
            self.sets[index].due = self.later().max(now + 1);
        }
        for _ in current..set.replicas {
            self.pods_made += 1;
            let ready = if set.kind.bad() {
                NEVER
            } else {
                now + self.dice.roll(0, 8)
            };
            self.pods.push(Pod {
                id: self.pods_made,
                kind: set.kind,
                ready,
                deleted: None,
                gone: NEVER,
            });
            self.changed = true;
        }
        // Pods that are not ready first, then the youngest.
        mine.sort_by_key(|&i| std::cmp::Reverse((self.pods[i].ready, self.pods[i].id)));
        for &victim in mine
            .iter()
            .take(usize::try_from(current.saturating_sub(set.replicas)).unwrap())
        {
            let grace = self.pods[victim].kind.grace;
            let stuck = self.dice.percent(self.stuck_percent);
            let takes = match self.dice.roll(0, 3) {
                _ if stuck => self.dice.roll(grace + 40, grace + 900),
                0 => self.dice.roll(0, grace),
                _ => grace + self.dice.roll(0, 1),
            };
            let pod = &mut self.pods[victim];
            pod.deleted = Some(now);
            pod.gone = now + takes;
            self.changed = true;
        }
        // When the next pod becomes available.
        let set = self.sets[index];
        let next = self
            .pods
            .iter()
            .filter(|pod| pod.kind == set.kind && pod.deleted.is_none() && pod.ready < NEVER);
        let next = next
            .map(|pod| pod.ready + set.min_ready)
            .filter(|&next| next > now)
            .min();
        if let Some(next) = next {
            self.sets[index].due = self.sets[index].due.min(next);
        }
    }
}
