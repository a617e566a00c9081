//! The number of the API's threads.

use super::quantity::Quantity;

/// Threads if neither limit nor request of CPU is set.
pub const DEFAULT: u32 = 2;
/// Maximum number of threads.
pub const MAX: u32 = 256;

/// Worker threads for a container: its CPU limit, else its request, else 2; rounded up, 1 to 256.
#[must_use]
pub fn threads(limit: Option<Quantity>, request: Option<Quantity>) -> u32 {
    let Some(cpu) = limit.or(request) else {
        return DEFAULT;
    };
    u32::try_from(cpu.rounded_up()).unwrap_or(MAX).clamp(1, MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_follow_the_limit_then_the_request() {
        let cpu = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        for (limit, request, expected) in [
            ("", "", 2),
            ("4", "1", 4),
            ("", "3", 3),
            ("500m", "", 1),
            ("1500m", "", 2),
            ("0", "8", 1),
            ("1000", "", 256),
            ("", "1e12", 256),
        ] {
            assert_eq!(
                threads(cpu(limit), cpu(request)),
                expected,
                "{limit:?} {request:?}"
            );
        }
    }

    #[test]
    fn the_bounds_equal_those_of_the_contract() {
        let schema =
            serde_json::to_value(schemars::schema_for!(reckon_contract::tuning::Server)).unwrap();
        let threads = &schema["properties"]["threads"];
        assert_eq!(
            (threads["minimum"].as_u64(), threads["maximum"].as_u64()),
            (Some(1), Some(MAX.into()))
        );
    }
}
