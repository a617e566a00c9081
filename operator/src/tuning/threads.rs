//! How many threads the API gets.

use super::quantity::Quantity;

/// Threads when neither limit nor request of CPU is set.
pub const DEFAULT: u32 = 2;
/// Most threads.
pub const MAX: u32 = 256;

/// Worker threads for a container: its CPU limit, else its request, else 2; rounded up, 1 to 256.
#[must_use]
pub fn threads(limit: Option<Quantity>, request: Option<Quantity>) -> u32 {
    let Some(cpu) = limit.or(request) else {
        return DEFAULT;
    };
    u32::try_from(cpu.rounded_up()).unwrap_or(MAX).clamp(1, MAX)
}
