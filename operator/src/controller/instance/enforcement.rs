//! The pools and the tuning under a decision about what enforces the budget.

use super::Instance;
use crate::tuning::budget::Budget;
use crate::tuning::enforcement::{Enforcement, Record};

/// `store.accountLimit` of the pods of a provisioned database: any limit. The operator itself raises and lowers it.
const ANY_LIMIT: u32 = 1_000_000;

impl Instance {
    /// The same with this decision, and the budget that follows from it.
    #[must_use]
    pub fn under(mut self, decision: Enforcement, record: Option<Record>, budget: Budget) -> Self {
        let store = &mut self.tuning.store;
        store.pool_size = budget.pool;
        // Pods of a service whose budget the server enforced once are elastic, so that the first planned pods need not wait
        // for connections of greater pools.
        store.min_pool_size = record.map(|_| budget.each);
        // The budget, not the limit: a limit that is raised within the budget is no reason to close connections.
        store.account_limit = decision.is_server().then(|| {
            if self.mysql.provisioned.is_some() {
                ANY_LIMIT
            } else {
                budget.connections
            }
        });
        // A limit that is lowered leaves no connection for smaller pools while the greater ones keep theirs. The operator itself
        // lowers the limit of a provisioned database last.
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
