//! The decision.

use super::{Live, Plan, Target};
use jiff::Timestamp;

/// The next write from `live` towards `target`, and what has to happen first.
#[must_use]
pub fn plan(_live: &Live, _target: &Target, _now: Timestamp) -> Plan {
    unimplemented!()
}
