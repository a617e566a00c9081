//! The tables that the user of a provisioned database may write to (it may read all), and the progress of a change of
//! these grants. Pure.
//!
//! The progress is recorded before a Job changes the grants, and after the Job has reported. So even if the operator or
//! the Job fails in between, pods write only after the grant, and every grant is revoked in the end.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Names of tables.
pub type TableSet = BTreeSet<String>;

/// The grants. JSON in the annotation [`WRITES`](super::observe::secrets::WRITES) of the Secret with the user's password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Writes {
    /// Increases with each change of `wanted`, so that a report that is older than the change does not count.
    pub change: u32,
    /// The tables that the user should be able to write to.
    pub wanted: TableSet,
    /// The tables that the user may certainly write to.
    pub granted: TableSet,
    /// The tables that the user may possibly write to.
    pub possible: TableSet,
}

impl Writes {
    /// The tables that the user should be able to write to: those of the resource. As long as pods with another tuning
    /// exist, also the tables of these pods.
    #[must_use]
    pub fn target(&self, of_resource: &TableSet, is_rolled: bool) -> TableSet {
        if is_rolled {
            of_resource.clone()
        } else {
            of_resource | &self.possible
        }
    }

    /// The state before a Job for other tables begins.
    #[must_use]
    pub fn begin(&self, wanted: &TableSet) -> Self {
        Self {
            change: self.change.wrapping_add(1),
            wanted: wanted.clone(),
            granted: &self.granted & wanted,
            possible: &self.possible | wanted,
        }
    }

    /// The state after a Job for the wanted tables has succeeded.
    #[must_use]
    pub fn done(&self) -> Self {
        Self {
            granted: self.wanted.clone(),
            possible: self.wanted.clone(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TableSet, Writes};

    fn set(names: &[&str]) -> TableSet {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn pods_write_only_after_the_grant_and_until_they_are_deleted() {
        let both = set(&["purchase", "searches"]);
        let none = Writes::default();
        // Events are enabled: the tables are wanted at once, and granted when the Job has reported.
        let wanted = none.target(&both, false);
        assert_eq!(wanted, both);
        let begun = none.begin(&wanted);
        assert_eq!(begun.granted, set(&[]));
        let done = begun.done();
        assert_eq!((&done.granted, &done.possible), (&both, &both));
        // Events are disabled: the tables are wanted as long as there are pods that write.
        assert_eq!(done.target(&set(&[]), false), both);
        assert_eq!(done.target(&set(&[]), true), set(&[]));
        let revoking = done.begin(&set(&[]));
        assert_eq!((revoking.granted.len(), &revoking.possible), (0, &both));
        assert_eq!(revoking.done().possible, set(&[]));
    }

    #[test]
    fn a_renamed_table_is_granted_before_the_former_one_is_revoked() {
        let former = set(&["orders", "searches"]);
        let done = Writes::default().begin(&former).done();
        let renamed = set(&["bought", "searches"]);
        let all = set(&["bought", "orders", "searches"]);
        let wanted = done.target(&renamed, false);
        assert_eq!(wanted, all);
        let both = done.begin(&wanted).done();
        assert_eq!(both.target(&renamed, true), renamed);
        let revoking = both.begin(&renamed);
        // Pods that write still exist.
        assert_eq!(revoking.granted, renamed);
    }

    #[test]
    fn a_job_that_was_interrupted_may_have_granted() {
        let both = set(&["purchase", "searches"]);
        let begun = Writes::default().begin(&both);
        // Events are disabled again before the Job reported.
        let revoking = begun.begin(&begun.target(&set(&[]), true));
        assert_eq!(revoking.possible, both);
        // The report of an earlier Job for the same tables does not count for this change.
        assert_eq!(revoking.change, 2);
    }
}
