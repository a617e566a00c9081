//! Labels that several metrics have.

/// Value of the label `controller`, and of `name` of the work queue.
pub(super) const CONTROLLER: &str = "recommendationservice";

/// One label.
pub(super) type Label = [(&'static str, &'static str); 1];
