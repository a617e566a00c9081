//! The trained model, which describes categories by the rows of all users. `train` computes it, and the ranking reads
//! it. The document is text: a line `reckon-model 1 sha256:HEX` with the checksum of the rest, then JSON.
//! `docs/model.md` describes it, since other programs may write it.

mod current;
mod document;
pub mod file;
mod invalid;
mod metrics;
mod model;
mod quality;
mod quality_metrics;

pub use current::{CurrentModel, FollowedModel, Problem, Published};
pub(crate) use document::digest;
pub use document::{MAX_CATEGORIES, MAX_RELATED, with_quality};
pub use invalid::{Invalid, MAX_BYTES};
pub use model::{Category, TrainedModel};
pub use quality::{Figures, ListQuality, Quality};
