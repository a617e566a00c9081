//! Descriptions of all processes together, shared by text and screen.

use super::figures::Figures;
use super::format::{UNKNOWN, bytes, number, or_dash, percent_sign, seconds, whole};
use super::histogram::Quantiles;
use super::report::{Report, Total};

/// The number of processes in all and in each state: `3 processes: 1 unreachable, 2 up`.
pub fn processes(report: &Report) -> String {
    let total = &report.total;
    let noun = if total.processes == 1 {
        "process"
    } else {
        "processes"
    };
    let states = total.states();
    let states: Vec<_> = states
        .map(|(state, count)| format!("{count} {}", state.text()))
        .collect();
    let colon = if states.is_empty() { "" } else { ": " };
    format!("{} {noun}{colon}{}", total.processes, states.join(", "))
}

/// Requests a second.
pub fn rate(figures: Option<&Figures>) -> String {
    or_dash(figures.and_then(|it| it.requests_per_second), number)
}

/// The ratio of requests that were answered with a status below 500.
pub fn success(figures: Option<&Figures>) -> String {
    or_dash(figures.and_then(|it| it.success_ratio), percent_sign)
}

/// The hit ratio of the memory cache.
pub fn memory_hits(figures: Option<&Figures>) -> String {
    or_dash(figures.and_then(|it| it.memory_hit_ratio), percent_sign)
}

/// The hit ratio of the shared cache.
pub fn shared_hits(figures: Option<&Figures>) -> String {
    or_dash(figures.and_then(|it| it.shared_hit_ratio), percent_sign)
}

/// Stale recommendations.
pub fn stale(figures: Option<&Figures>) -> String {
    or_dash(figures.map(|it| it.stale), whole)
}

/// p50, p95 and p99.
pub fn quantiles(quantiles: Option<Quantiles>) -> [String; 3] {
    quantiles.map_or_else(
        || [UNKNOWN; 3].map(str::to_owned),
        |it| [it.p50_seconds, it.p95_seconds, it.p99_seconds].map(seconds),
    )
}

/// Rejections a second, and the reasons of those in the interval: `12.5/s: rate_limit 20, connections 5`.
pub fn rejections(figures: Option<&Figures>) -> String {
    let rate = or_dash(figures.and_then(|it| it.rejections_per_second), number);
    let reasons = figures.iter().flat_map(|it| &it.rejections);
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| format!("{reason} {}", whole(*count)))
        .collect();
    let colon = if reasons.is_empty() { "" } else { ": " };
    format!("{rate}/s{colon}{}", reasons.join(", "))
}

/// Connections to the database: `20 open, 3 busy, limit 30`.
pub fn store_connections(total: &Total) -> String {
    let of = |gauge| or_dash(gauge, whole);
    let now = &total.now;
    format!(
        "{} open, {} busy, limit {}",
        of(now.store_open),
        of(now.store_busy),
        of(now.store_limit)
    )
}

/// A used amount and its limit: `12 of 4,096`.
pub fn of(used: Option<f64>, limit: Option<f64>) -> String {
    format!("{} of {}", or_dash(used, whole), or_dash(limit, whole))
}

/// The memory cache: `1,234 entries, 1.2 MiB of 64 MiB`.
pub fn memory_cache(total: &Total) -> String {
    let now = &total.now;
    let bytes = |gauge| or_dash(gauge, bytes);
    let entries = or_dash(now.memory_entries, whole);
    let unit = if entries == "1" { "entry" } else { "entries" };
    format!(
        "{entries} {unit}, {} of {}",
        bytes(now.memory_bytes),
        bytes(now.memory_limit_bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::{Total, memory_cache};

    #[test]
    fn one_entry_is_singular() {
        for (entries, text) in [
            (Some(0.0), "0 entries"),
            (Some(1.0), "1 entry"),
            (Some(1234.0), "1,234 entries"),
        ] {
            let mut total = Total::default();
            total.now.memory_entries = entries;
            let shown = memory_cache(&total);
            assert!(shown.starts_with(&format!("{text}, ")), "{shown}");
        }
    }
}
