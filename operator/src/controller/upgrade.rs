//! An upgrade of the operator brings a new image to every resource that pins none: a few roll at a time.

use super::instance::Instance;
use super::observe::Observed;
use crate::tuning::plan::{Action, Plan};
use std::collections::HashSet;
use std::sync::Mutex;

/// Services that roll at once because of an upgrade.
pub const AT_ONCE: usize = 5;

/// Rollouts that an upgrade of the operator began, by the resource's UID.
#[derive(Debug, Default)]
pub struct Upgrades {
    rolling: Mutex<HashSet<String>>,
}

impl Upgrades {
    /// Whether what is planned may be done now: everything but a new template for a resource that pins no image and has one
    /// already, beyond the first few.
    #[must_use]
    pub fn may_roll(&self, instance: &Instance, observed: &Observed, plan: &Plan) -> bool {
        let is_rollout = !matches!(plan.action, None | Some(Action::CreateDeployment { .. }));
        if instance.image_is_pinned || observed.live.deployment.is_none() || !is_rollout {
            return true;
        }
        let Ok(mut rolling) = self.rolling.lock() else {
            return true;
        };
        rolling.contains(&instance.uid)
            || (rolling.len() < AT_ONCE && rolling.insert(instance.uid.clone()))
    }

    /// Gives back the places of resources that `is_there` does not know, by their UID.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        if let Ok(mut rolling) = self.rolling.lock() {
            rolling.retain(|uid| is_there(uid));
        }
    }

    /// A resource has what it wants.
    pub fn settled(&self, uid: &str) {
        if let Ok(mut rolling) = self.rolling.lock() {
            rolling.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Upgrades};

    #[test]
    fn a_place_is_free_again_once_a_resource_has_settled() {
        let upgrades = Upgrades::default();
        let take = |uid: &str| {
            let mut rolling = upgrades.rolling.lock().unwrap();
            rolling.len() < AT_ONCE && rolling.insert(uid.to_owned())
        };
        for number in 0..AT_ONCE {
            assert!(take(&number.to_string()));
        }
        assert!(!take("one more"));
        upgrades.settled("0");
        assert!(take("one more"));
    }
}
