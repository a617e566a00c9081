//! The metrics code that both programs share: registration in one call, and the metrics of the process itself.

mod process;
mod register;

pub use process::Process;
pub use register::{Register, Series};
