//! The autoscaler controller.

use super::{Deployment, World, seconds};
use crate::tuning::plan::ScaleDown;

impl World {
    /// One sync of the autoscaler, with its last reads.
    pub(super) fn scale(&mut self) {
        if self.hpa.is_none() || self.scaler.due > self.now {
            return;
        }
        self.scaler.due = self.now + 15;
        let ago = self.dice.roll(0, self.lag + 1);
        let Some(hpa) = self.past_state(ago).hpa else {
            return;
        };
        // A Deployment that was scaled to zero is ignored.
        let Some(deployment) = self.deployment.filter(|deployment| deployment.replicas > 0) else {
            return;
        };
        if self.dice.percent(25) {
            let any = self.dice.number(1, hpa.max + 1);
            self.scaler.wish = [1, any, hpa.max][usize::try_from(self.dice.roll(0, 2)).unwrap()];
        }
        let now = self.now;
        let current = deployment.replicas;
        let (window, period) = match hpa.scale_down {
            ScaleDown::Pods { period, .. } => (seconds(period), seconds(period)),
            ScaleDown::Disabled { .. } | ScaleDown::Default => (300, 300),
        };
        let desired = if current > hpa.max {
            hpa.max
        } else if current < hpa.min {
            hpa.min
        } else {
            if self.scaler.recommended.is_empty() {
                self.scaler.recommended.push((now, current));
            }
            let wish = self.scaler.wish;
            let stable = self
                .scaler
                .recommended
                .iter()
                .filter(|(at, _)| now - at < window)
                .map(|(_, n)| *n)
                .max();
            self.scaler.recommended.push((now, wish));
            let stable = stable.unwrap_or(0).max(wish);
            let sum = |events: &[(i64, u32)]| -> u32 {
                events
                    .iter()
                    .filter(|(at, _)| now - at < period)
                    .map(|(_, n)| n)
                    .sum()
            };
            let start = i64::from(current) - i64::from(sum(&self.scaler.added))
                + i64::from(sum(&self.scaler.removed));
            let lowest = match hpa.scale_down {
                ScaleDown::Disabled { .. } => current,
                // Kubernetes counts like this: all pods that were added in the period may be removed at once.
                ScaleDown::Pods { count, .. } => {
                    u32::try_from((start - i64::from(count)).max(0)).unwrap()
                }
                ScaleDown::Default => 0,
            };
            if wish > current {
                wish.clamp(hpa.min, hpa.max)
            } else {
                stable
                    .max(lowest.min(current))
                    .clamp(hpa.min, hpa.max)
                    .min(current)
            }
        };
        if desired == current {
            return;
        }
        if desired > current {
            self.scaler.added.push((now, desired - current));
        } else {
            self.scaler.removed.push((now, current - desired));
        }
        let version = self.bump();
        self.deployment = Some(Deployment {
            replicas: desired,
            generation: deployment.generation + 1,
            version,
            ..deployment
        });
        self.touch_deployment();
    }

    /// The autoscaler controller restarts and loses its memory.
    pub(in super::super) fn restart_scaler(&mut self) {
        self.scaler.recommended.clear();
        self.scaler.added.clear();
        self.scaler.removed.clear();
    }
}
