//! Descriptions of all processes together, shared by text and screen.

use super::figures::Figures;
use super::format::{UNKNOWN, bytes, number, or_dash, percent_sign, seconds, whole};
use super::histogram::Quantiles;
use super::report::{Report, Total};
use super::sample::Gauges;

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

/// Rejections a second, and how many for each reason in the interval: `12.5/s (rate_limit: 20, connections: 5 in 2.0 s)`.
pub fn rejections(report: &Report) -> String {
    let figures = report.total.recent.as_ref();
    let rate = or_dash(figures.and_then(|it| it.rejections_per_second), number);
    let reasons = figures.iter().flat_map(|it| &it.rejections);
    let reasons: Vec<_> = reasons
        .map(|(reason, count)| format!("{reason}: {}", whole(*count)))
        .collect();
    if reasons.is_empty() {
        return format!("{rate}/s");
    }
    let seconds = report.interval_seconds;
    format!("{rate}/s ({} in {seconds:.1} s)", reasons.join(", "))
}

/// Connections to the database and their limit: `20 open of 30 (66.66 %), 3 busy`. All open is normal under load.
pub fn store_connections(total: &Total) -> String {
    let of = |gauge| or_dash(gauge, whole);
    let now = &total.now;
    format!(
        "{} open of {} ({}), {} busy",
        of(now.store_open),
        of(now.store_limit),
        or_dash(total.database_budget_ratio, percent_sign),
        of(now.store_busy)
    )
}

/// Connections of clients and their limit: `12 of 4,096`.
pub fn clients(report: &Report) -> String {
    let now = &report.total.now;
    of(now.clients, now.clients_limit) + &limits(report, |it| it.clients_limit)
}

/// Requests in flight and their limit: `12 of 4,096`.
pub fn in_flight(report: &Report) -> String {
    let now = &report.total.now;
    of(now.in_flight, now.in_flight_limit) + &limits(report, |it| it.in_flight_limit)
}

fn of(used: Option<f64>, limit: Option<f64>) -> String {
    format!("{} of {}", or_dash(used, whole), or_dash(limit, whole))
}

/// The limits of single processes if they differ: ` (1,024 to 2,048 each)`. The sum alone would hide that a process is full.
fn limits(report: &Report, limit: fn(&Gauges) -> Option<f64>) -> String {
    let limits = || report.processes.iter().filter_map(|it| limit(&it.now));
    let (least, most) = (limits().reduce(f64::min), limits().reduce(f64::max));
    match least.zip(most) {
        Some((least, most)) if least < most => {
            format!(" ({} to {} each)", whole(least), whole(most))
        }
        _ => String::new(),
    }
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
    use super::{Gauges, Report, Total, clients, memory_cache, store_connections};
    use crate::monitor::report::Process;

    /// Two processes with these limits of clients' connections.
    fn report(limits: [f64; 2]) -> Report {
        let processes = limits.map(|limit| {
            let mut process = Process::new("shop");
            process.now.clients_limit = Some(limit);
            process
        });
        let mut total = Total::default();
        total.now = Gauges {
            clients: Some(30.0),
            clients_limit: Some(limits.iter().sum()),
            ..Gauges::default()
        };
        Report {
            unix_seconds: 0.0,
            interval_seconds: 2.0,
            total,
            processes: processes.into(),
            notices: Vec::new(),
        }
    }

    #[test]
    fn limits_that_differ_are_shown() {
        for (limits, text) in [
            ([2048.0, 2048.0], "30 of 4,096"),
            ([1024.0, 2048.0], "30 of 3,072 (1,024 to 2,048 each)"),
        ] {
            assert_eq!(clients(&report(limits)), text);
        }
    }

    #[test]
    fn open_connections_are_shown_with_their_limit() {
        let mut total = Total::default();
        total.now.store_open = Some(17.0);
        total.now.store_limit = Some(17.0);
        total.database_budget_ratio = Some(1.0);
        assert_eq!(store_connections(&total), "17 open of 17 (100 %), - busy");
    }

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
