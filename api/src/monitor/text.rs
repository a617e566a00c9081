//! The report as plain text, at most 80 columns wide.

use super::columns::{Sort, fitted, row, titles};
use super::figures::Figures;
use super::histogram::Quantiles;
use super::report::Report;
use super::summary;
use std::fmt::Write as _;

const WIDTH: usize = 80;

/// The value in a line of the table of figures.
type Figure = fn(Option<&Figures>) -> String;

/// The report; ends with a line feed.
pub fn text(report: &Report) -> String {
    let mut lines = vec![summary::processes(report), String::new()];
    lines.extend(figures(report));
    lines.push(String::new());
    lines.extend(now(report));
    lines.push(String::new());
    lines.push(titles(WIDTH, Sort::Process));
    lines.extend(report.processes.iter().map(|process| row(WIDTH, process)));
    if !report.notices.is_empty() {
        lines.push(String::new());
        lines.extend(report.notices.iter().cloned());
    }
    let mut text = String::new();
    for line in lines {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}", fitted(line.trim_end(), WIDTH));
    }
    text
}

fn figures(report: &Report) -> Vec<String> {
    let (recent, since_start) = (&report.total.recent, &report.total.since_start);
    let rows: [(&str, Figure); 8] = [
        ("requests/s", summary::rate),
        ("success (no 5xx)", summary::success),
        ("hits, memory cache", summary::memory_hits),
        ("hits, shared cache", summary::shared_hits),
        ("stale answers", summary::stale),
        ("latency, recommend", |it| {
            latency(it.and_then(|it| it.recommend))
        }),
        ("latency, store", |it| latency(it.and_then(|it| it.store))),
        ("latency, shared cache", |it| {
            latency(it.and_then(|it| it.shared))
        }),
    ];
    let line =
        |label: &str, recent: &str, since: &str| format!("{label:22} {recent:>27} {since:>27}");
    let last = format!("last {:.1} s", report.interval_seconds);
    let titles = line("", &last, "since start");
    let units = line("", "p50 / p95 / p99", "p50 / p95 / p99");
    let mut lines = vec![titles];
    for (index, (label, figure)) in rows.into_iter().enumerate() {
        if index == 5 {
            lines.push(units.clone());
        }
        lines.push(line(
            label,
            &figure(recent.as_ref()),
            &figure(since_start.as_ref()),
        ));
    }
    lines
}

fn latency(quantiles: Option<Quantiles>) -> String {
    match quantiles {
        None => super::format::UNKNOWN.to_owned(),
        Some(_) => summary::quantiles(quantiles).join(" / "),
    }
}

fn now(report: &Report) -> [String; 5] {
    let total = &report.total;
    [
        format!(
            "database connections   {}",
            summary::store_connections(total)
        ),
        format!("client connections     {}", summary::clients(report)),
        format!("requests in flight     {}", summary::in_flight(report)),
        format!("memory cache           {}", summary::memory_cache(total)),
        format!("rejections             {}", summary::rejections(report)),
    ]
}
