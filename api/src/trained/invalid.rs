//! Why a document is not a model.

/// Greatest size of a document in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// Why a document is not a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The first line is not the expected one.
    #[error(
        "not a model: expected the first line \"reckon-model 1 sha256:\" with 64 hexadecimal digits"
    )]
    Header,
    /// Written by a newer program.
    #[error(
        "the model has format {0:?}: this version reads format 1; upgrade Reckon, or train again with this version"
    )]
    Format(String),
    /// Longer than any model may be.
    #[error("the model has {0} bytes: expected at most {MAX_BYTES}")]
    Size(usize),
    /// Truncated or changed.
    #[error("the model is damaged: its checksum differs")]
    Checksum,
    /// Not the fields of a model.
    #[error("the model cannot be read: {0}")]
    Json(String),
    /// A value outside the allowed range.
    #[error("{field} is {value}: expected {expected}")]
    Value {
        /// Path of the field.
        field: String,
        /// The value.
        value: String,
        /// What is allowed.
        expected: String,
    },
}

/// A value outside the allowed range.
pub(super) fn invalid(
    field: impl Into<String>,
    value: impl std::fmt::Display,
    expected: impl Into<String>,
) -> Invalid {
    Invalid::Value {
        field: field.into(),
        value: value.to_string(),
        expected: expected.into(),
    }
}
