//! How good the rankings are: compares their recommendations for past days with the purchases of those days. Pure: no
//! I/O.
//!
//! [`evaluate`] takes several days of the past as cut-offs. The rows before a cut-off train the model and are the
//! users' histories. The purchases of the 14 days from the cut-off on are to be predicted. [`gate`] compares two
//! models. [`quality`] has the figures of both algorithms that are published with a model.

mod baseline;
mod cut_off;
pub mod date;
mod gate;
mod interval;
mod measure;
mod ndcg;
mod quality;
mod results;
mod target;

pub use cut_off::LENGTHS;
pub use gate::{Compared, gate};
pub use interval::{Figure, Interval};
pub use measure::{List, Measure, Policy};
pub use quality::{MIN_USERS, quality};
pub use results::{Results, Row, evaluate, spread};
pub use target::{TARGET_DAYS, newest_cut_off};
