//! The pools and the tuning under a decision about what enforces the budget.

use super::Instance;
use crate::tuning::budget::Budget;
use crate::tuning::enforcement::{Enforcement, Record};

/// `store.accountLimit` of the pods of a provisioned database: any limit. The operator itself raises and lowers it.
const ANY_LIMIT: u32 = 1_000_000;

impl Instance {
    /// The instance with this decision, and with the budget that follows from it.
    #[must_use]
    pub fn under(mut self, decision: Enforcement, record: Option<Record>, budget: Budget) -> Self {
        let store = &mut self.tuning.store;
        store.pool_size = budget.pool;
        // After the server has enforced the budget of a service, the pods of a plan are elastic, so that the first of
        // them need not wait for connections of pods with greater pools.
        store.min_pool_size = record.map(|_| budget.each);
        // This is the budget and not the limit, so that pods do not close connections if the limit is raised within the
        // budget.
        store.account_limit = decision.is_server().then(|| {
            if self.mysql.provisioned.is_some() {
                ANY_LIMIT
            } else {
                budget.connections
            }
        });
        // If the limit is lowered, pods with greater pools must close connections, because otherwise none would be left
        // for pods with smaller pools. For a provisioned database this is not needed: the operator lowers the limit
        // last.
        store.min_account_limit = match decision {
            Enforcement::Server { limit } if self.mysql.provisioned.is_none() => Some(limit),
            Enforcement::Server { .. } | Enforcement::Plan { .. } => None,
        };
        self.enforcement = Some(decision);
        self.record = record;
        self.budget = budget;
        self
    }
}
