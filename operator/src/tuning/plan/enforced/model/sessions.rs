//! The pods' connections, and the server that admits them.

use super::{NEVER, World};

impl World {
    /// One second of connecting: pods open one connection at a time, in any order, and the server refuses connections
    /// beyond the limit. A pod opens further connections only if it has its base. If it has only a part of its base, it
    /// keeps this part.
    pub(super) fn connect(&mut self) {
        let now = self.now;
        // The server keeps the sessions of a lost node's pods for a while.
        self.pods
            .retain(|pod| pod.gone == NEVER || pod.gone + pod.lingers > now);
        let mut wants = Vec::new();
        for index in 0..self.pods.len() {
            for _ in 0..self.missing(index) {
                wants.push(index);
            }
        }
        let open: u32 = self.pods.iter().map(|pod| pod.open).sum();
        let mut free = self.limit.saturating_sub(open);
        while free > 0 && !wants.is_empty() {
            let last = i64::try_from(wants.len()).unwrap() - 1;
            let any = usize::try_from(self.dice.roll(0, last)).unwrap();
            let index = wants.swap_remove(any);
            self.pods[index].open += 1;
            free -= 1;
        }
        for pod in &mut self.pods {
            if pod.begins <= now && pod.open >= pod.kind.base {
                pod.ready.get_or_insert(now);
            }
        }
    }

    /// How many connections a pod would open now. An idle one is closed.
    fn missing(&mut self, index: usize) -> u32 {
        let pod = self.pods[index];
        let kind = pod.kind;
        if pod.begins > self.now || pod.gone <= self.now {
            return 0;
        }
        let demand = match (pod.deleted, pod.ready.is_some()) {
            (Some(_), _) => kind.base.min(pod.open),
            (None, false) => kind.base,
            (None, true) if self.saturated => kind.pool,
            (None, true) => self.dice.number(kind.base, kind.pool),
        };
        if demand < pod.open && self.dice.percent(10) {
            self.pods[index].open -= 1;
        }
        demand.saturating_sub(pod.open)
    }
}
