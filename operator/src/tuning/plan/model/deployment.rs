//! The controllers of Deployments and of `ReplicaSet`s, with the arithmetic of Kubernetes 1.35
//! (`pkg/controller/deployment/{sync,rolling}.go`).

use super::{Deployment, NEVER, Pod, ReplicaSet, World};

impl Deployment {
    /// maxSurge in pods.
    pub(super) fn most_surge(&self) -> u32 {
        self.surge.pods(self.replicas)
    }
}

/// `getReplicaSetFraction`: how many pods a `ReplicaSet` gains or loses. The number is proportional to its size,
/// relative to the maximum number of pods that the Deployment allowed when the set was last scaled.
fn share(set: ReplicaSet, deployment: Deployment) -> i64 {
    if deployment.replicas == 0 {
        return -i64::from(set.replicas);
    }
    let before = match set.most {
        0 => deployment.current,
        most => most,
    };
    if before == 0 {
        return 0;
    }
    let now = u64::from(deployment.replicas + deployment.most_surge());
    let (size, before) = (u64::from(set.replicas) * now, u64::from(before));
    // Rounded half up.
    let size = (2 * size + before) / (2 * before);
    size.cast_signed() - i64::from(set.replicas)
}

impl World {
    /// `syncDeployment`.
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
            // The next step follows when the controller observes this one. In reality this takes milliseconds. Here it
            // takes longer, so that others act in between.
            self.roll(deployment, newest);
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

    /// Indexes of the `ReplicaSet`s with pods.
    fn active(&self) -> Vec<usize> {
        (0..self.sets.len())
            .filter(|&index| self.sets[index].replicas > 0)
            .collect()
    }

    fn total(&self) -> u32 {
        self.sets.iter().map(|set| set.replicas).sum()
    }

    /// `scale`: the `ReplicaSet`s of a Deployment whose `spec.replicas` changed, or that is paused.
    fn scale_sets(&mut self, deployment: Deployment, newest: Option<usize>) {
        let mut active = self.active();
        if active.len() <= 1 {
            // If no `ReplicaSet` is active, the newest one is resized.
            let only = active.first().copied().or(newest);
            if let Some(only) = only.or_else(|| self.sets.len().checked_sub(1)) {
                self.resize(only, deployment.replicas, deployment);
            }
            return;
        }
        let saturated = newest.is_some_and(|newest| {
            let set = &self.sets[newest];
            [set.replicas, set.desired, set.available] == [deployment.replicas; 3]
        });
        if saturated {
            for index in active {
                if Some(index) != newest {
                    self.resize(index, 0, deployment);
                }
            }
            return;
        }
        let allowed = match deployment.replicas {
            0 => 0,
            replicas => replicas + deployment.most_surge(),
        };
        let add = i64::from(allowed) - i64::from(self.total());
        // The greatest first; among equals, the newer ones first if pods are added, else the older ones.
        active.sort_by_key(|&index| {
            let age = i64::try_from(index).unwrap();
            (
                std::cmp::Reverse(self.sets[index].replicas),
                if add > 0 { -age } else { age },
            )
        });
        let mut left = add;
        let mut sizes = Vec::new();
        for &index in &active {
            let set = self.sets[index];
            let part = match add {
                0 => 0,
                _ if left == 0 => 0,
                1.. => share(set, deployment).min(left),
                _ => share(set, deployment).max(left),
            };
            left -= part;
            sizes.push(i64::from(set.replicas) + part);
        }
        sizes[0] = (sizes[0] + left).max(0);
        for (index, size) in active.into_iter().zip(sizes) {
            self.annotate(index, deployment);
            self.resize(index, u32::try_from(size).unwrap(), deployment);
        }
    }

    /// `rolloutRolling`: one step of a rollout.
    fn roll(&mut self, deployment: Deployment, newest: Option<usize>) {
        let wanted = deployment.replicas;
        let newest = if let Some(newest) = newest {
            let size = self.sets[newest].replicas;
            let size = if size > wanted {
                wanted
            } else {
                size + self.room(deployment).min(wanted - size)
            };
            if self.resize(newest, size, deployment) {
                return;
            }
            newest
        } else {
            // The set is created with its first pods. In the same sync, older pods may be removed.
            let due = self.later();
            let replicas = self.room(deployment).min(wanted);
            self.sets.push(ReplicaSet {
                kind: deployment.kind,
                min_ready: deployment.min_ready,
                replicas,
                desired: wanted,
                most: wanted + deployment.most_surge(),
                current: 0,
                available: 0,
                due,
            });
            self.touch_deployment();
            self.sets.len() - 1
        };
        self.remove_old(deployment, newest);
    }

    /// How many more pods maxSurge admits.
    fn room(&self, deployment: Deployment) -> u32 {
        (deployment.replicas + deployment.most_surge()).saturating_sub(self.total())
    }

    /// `reconcileOldReplicaSets`.
    fn remove_old(&mut self, deployment: Deployment, newest: usize) {
        let wanted = i64::from(deployment.replicas);
        let old: Vec<usize> = (self.active().into_iter())
            .filter(|&index| index != newest)
            .collect();
        let unavailable =
            i64::from(self.sets[newest].replicas) - i64::from(self.sets[newest].available);
        let removable = i64::from(self.total()) - wanted - unavailable;
        if old.is_empty() || removable <= 0 {
            return;
        }
        // `cleanupUnhealthyReplicas`.
        let mut left = removable;
        for &index in &old {
            let set = self.sets[index];
            if left <= 0 {
                break;
            }
            if set.replicas == set.available {
                continue;
            }
            if set.available > set.replicas {
                // The status is older than an earlier removal. Kubernetes then returns an error, and removes no more
                // pods.
                return;
            }
            let unhealthy = left.min(i64::from(set.replicas - set.available));
            left -= unhealthy;
            let size = i64::from(set.replicas) - unhealthy;
            self.resize(index, u32::try_from(size).unwrap(), deployment);
        }
        // `scaleDownOldReplicaSetsForRollingUpdate`: not limited by `removable`.
        let counted = old.iter().chain([&newest]);
        let available: i64 = counted
            .map(|&index| i64::from(self.sets[index].available))
            .sum();
        let mut left = available - wanted;
        for &index in &old {
            let replicas = i64::from(self.sets[index].replicas);
            let healthy = replicas.min(left.max(0));
            left -= healthy;
            self.resize(
                index,
                u32::try_from(replicas - healthy).unwrap(),
                deployment,
            );
        }
    }

    /// Writes the annotations of a `ReplicaSet`.
    fn annotate(&mut self, index: usize, deployment: Deployment) {
        self.sets[index].desired = deployment.replicas;
        self.sets[index].most = deployment.replicas + deployment.most_surge();
    }

    fn resize(&mut self, index: usize, replicas: u32, deployment: Deployment) -> bool {
        if self.sets[index].replicas == replicas {
            return false;
        }
        let later = self.later();
        self.annotate(index, deployment);
        let set = &mut self.sets[index];
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
        // The status contains the pods from before this sync.
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
        let is_refused = current < set.replicas && now < self.refused_until;
        if is_refused {
            // In reality, the pauses between two attempts grow.
            self.sets[index].due = now + self.refusal_dice.roll(1, 60);
        }
        let created = if is_refused { current } else { set.replicas };
        for _ in current..created {
            self.pods_made += 1;
            let node = self.node();
            let ready = if set.kind.bad() {
                NEVER
            } else {
                now + self.dice.roll(0, 8)
            };
            self.pods.push(Pod {
                id: self.pods_made,
                kind: set.kind,
                node,
                created: now,
                ready,
                deleted: None,
                gone: NEVER,
            });
            self.changed = true;
        }
        // First the pods that are not ready, then the youngest.
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
