//! An upgrade of the operator changes the image of every resource that does not pin one. A few of them are rolled out
//! at a time.

use super::instance::Instance;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};

/// How many services take the operator's new image at the same time.
pub const AT_ONCE: usize = 5;

/// Resources that are taking a new image of the operator, by UID. Clones share the slots.
#[derive(Clone, Debug, Default)]
pub struct Upgrades {
    rolling: Arc<Mutex<HashSet<String>>>,
}

impl Upgrades {
    /// If all slots are taken, returns the resource with the image that its pods run; `None`: the resource need not
    /// wait. `running` is the image of the Deployment, if there is one.
    ///
    /// Only the image waits. Any other change is applied at once, with the running image. The migration also keeps the
    /// running image: the Job of the new image is created with the rollout.
    #[must_use]
    pub fn hold(&self, instance: &Instance, running: Option<&str>) -> Option<Instance> {
        let running = running.filter(|running| *running != instance.image)?;
        if instance.image_is_pinned || self.enter(&instance.uid) {
            return None;
        }
        Some(Instance {
            image: running.to_owned(),
            ..instance.clone()
        })
    }

    /// Takes a slot; `false`: all are taken.
    #[must_use]
    pub fn enter(&self, uid: &str) -> bool {
        let Ok(mut rolling) = self.rolling.lock() else {
            return true;
        };
        rolling.contains(uid) || (rolling.len() < AT_ONCE && rolling.insert(uid.to_owned()))
    }

    /// Frees the slots of resources for which `is_there` is false, by UID.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        if let Ok(mut rolling) = self.rolling.lock() {
            rolling.retain(|uid| is_there(uid));
        }
    }

    /// Frees a slot: the resource has reached its target, or makes no progress.
    pub fn leave(&self, uid: &str) {
        if let Ok(mut rolling) = self.rolling.lock() {
            rolling.remove(uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Upgrades};
    use crate::controller::instance::Instance;
    use crate::controller::sample::{self, MINIMAL};
    use serde_json::json;

    fn unpinned(uid: &str) -> Instance {
        let mut value = sample::value(MINIMAL);
        value["metadata"]["uid"] = json!(uid);
        Instance::parse(&sample::object(&value), &sample::defaults()).unwrap()
    }

    #[test]
    fn only_a_new_image_is_held_back_and_only_while_all_slots_are_taken() {
        let upgrades = Upgrades::default();
        let old = Some("reckon/reckon-api:1.0.0");
        // A second scope of the same operator shares the slots.
        let elsewhere = upgrades.clone();
        for number in 0..AT_ONCE {
            let scope = if number % 2 == 0 {
                &upgrades
            } else {
                &elsewhere
            };
            assert_eq!(scope.hold(&unpinned(&number.to_string()), old), None);
        }
        let late = unpinned("late");
        let held = upgrades.hold(&late, old).unwrap();
        assert_eq!(held.image, "reckon/reckon-api:1.0.0");
        let released = Instance {
            image: late.image.clone(),
            ..held
        };
        assert_eq!(released, late, "more than the image was held back");
        // A resource with a slot keeps the slot. A resource that needs no slot does not wait.
        assert_eq!(upgrades.hold(&unpinned("0"), old), None);
        assert_eq!(upgrades.hold(&late, None), None);
        assert_eq!(upgrades.hold(&late, Some(&late.image)), None);
        let pinned = Instance {
            image_is_pinned: true,
            ..late.clone()
        };
        assert_eq!(upgrades.hold(&pinned, old), None);

        upgrades.leave("0");
        assert_eq!(elsewhere.hold(&late, old), None);
        assert!(upgrades.hold(&unpinned("0"), old).is_some());
        upgrades.keep(|uid| uid == "late");
        assert_eq!(upgrades.hold(&unpinned("0"), old), None);
    }
}
