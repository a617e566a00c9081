//! The choices of a request that override the settings.

use crate::scoring::Selection;
use reckon_contract::tuning::Algorithm;

/// The choices of one request. Answers with choices are computed for the request and never cached.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Another algorithm than that of the settings.
    pub algorithm: Option<Algorithm>,
    /// Which categories the answer may contain.
    pub selection: Selection,
    /// Whether the answer says why each category is in it.
    pub explain: bool,
}
