//! How a container's memory is divided between the memory cache and the connections of clients.

use reckon_contract::tuning::{CONNECTION_BYTES, DEFAULT_CONNECTIONS};

/// Memory for everything except cache and connections, in bytes: the idle process takes 20 MiB; requests in flight, the
/// database's rows and the allocator's overhead take the rest.
const BASE: u64 = 64 << 20;
/// Minimum and maximum number of client connections. The minimum applies even if the cache leaves no memory, because
/// without connections there is no service. More than the maximum is useless, since an address has no more ports.
const CONNECTIONS: std::ops::RangeInclusive<u64> = 256..=65_536;

/// `percent` of a container's memory limit, both in bytes, rounded down. `percent` is 0 to 100; more counts as 100.
#[must_use]
pub fn cache_bytes(limit: u64, percent: u32) -> u64 {
    let percent = u64::from(percent.min(100));
    // The product might overflow.
    limit / 100 * percent + limit % 100 * percent / 100
}

/// Client connections of a container with this memory limit, of which the memory cache gets `cache`, all in bytes:
/// `(limit - cache - 64 MiB) / 32 KiB`, 256 to 65,536. 32 KiB is the maximum size of a connection ([`CONNECTION_BYTES`]).
/// Without a limit (0): the API's default.
#[must_use]
pub fn connections(limit: u64, cache: u64) -> u32 {
    if limit == 0 {
        return DEFAULT_CONNECTIONS;
    }
    let left = limit.saturating_sub(cache).saturating_sub(BASE);
    let connections = (left / CONNECTION_BYTES).clamp(*CONNECTIONS.start(), *CONNECTIONS.end());
    u32::try_from(connections).unwrap_or(DEFAULT_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_the_memory_that_the_cache_and_the_process_leave() {
        const MIB: u64 = 1 << 20;
        for (limit, cache, expected) in [
            (0, 0, 2048),
            (256 * MIB, 64 * MIB, 4096),
            (512 * MIB, 128 * MIB, 10_240),
            (128 * MIB, 32 * MIB, 1024),
            (64 * MIB, 16 * MIB, 256),
            (256 * MIB, 256 * MIB, 256),
            (1, 0, 256),
            (u64::MAX, 0, 65_536),
        ] {
            assert_eq!(connections(limit, cache), expected, "{limit} {cache}");
        }
    }

    #[test]
    fn the_bounds_of_connections_are_within_those_of_the_contract() {
        let schema =
            serde_json::to_value(schemars::schema_for!(reckon_contract::tuning::Server)).unwrap();
        let field = &schema["properties"]["maxConnections"];
        let bound = |name: &str| field[name].as_u64().unwrap();
        assert!((bound("minimum")..=bound("maximum")).contains(CONNECTIONS.start()));
        assert!((bound("minimum")..=bound("maximum")).contains(CONNECTIONS.end()));
    }

    #[test]
    fn a_cache_is_a_part_of_the_limit() {
        for (limit, percent, bytes) in [
            (256 << 20, 25, 64 << 20),
            (0, 25, 0),
            (1, 25, 0),
            (199, 50, 99),
            (256 << 20, 0, 0),
            (1000, 100, 1000),
            (1000, 250, 1000),
            (u64::MAX, 100, u64::MAX),
        ] {
            assert_eq!(cache_bytes(limit, percent), bytes, "{percent} % of {limit}");
        }
    }
}
