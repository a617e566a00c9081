//! Why a resource cannot be run.

use crate::tuning::budget;

/// Why a resource cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It lacks a field of this version, or a field has another type.
    #[error("the resource cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It lacks a field that the API server always sets.
    #[error("the resource has no {0}")]
    Incomplete(&'static str),
    /// A field has an invalid value.
    #[error("{field} {problem}")]
    Field {
        /// Dotted path below `spec`.
        field: &'static str,
        /// What is wrong, and what is allowed.
        problem: String,
    },
    /// The budget is too small even for the minimum number of pods.
    #[error("mysql.connectionBudget is too small: {0}")]
    Budget(#[from] budget::Error),
}
