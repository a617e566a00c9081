//! The figures of all processes together.

use super::sparkline::sparkline;
use super::view::{BOLD, DIM, View};
use crate::monitor::figures::Figures;
use crate::monitor::histogram::Quantiles;
use crate::monitor::history::Latency;
use crate::monitor::summary;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};

/// Height of this area in lines. The first and the last line are blank.
pub const HEIGHT: u16 = 12;

const LABEL: usize = 14;
/// Width of a quantile, in characters.
const QUANTILE: u16 = 8;
/// Minimum width for a separate graph of each quantile.
const WIDE: u16 = 140;
/// Width of the bar of connections, in characters.
const BAR: u32 = 10;

/// Draws the lines.
pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let [
        _,
        requests,
        hits,
        head,
        recommend,
        store,
        shared,
        connections,
        clients,
        cache,
        rejections,
        _,
    ] = Layout::vertical([Constraint::Length(1); HEIGHT as usize]).areas(area);
    let (total, history) = (&view.report.total, view.history);
    let figures = total.recent.as_ref();
    draw_requests(frame, requests, view);
    let hit = format!(
        "memory {}   shared {}   stale {}",
        summary::memory_hits(figures),
        summary::shared_hits(figures),
        summary::stale(figures)
    );
    labelled(frame, hits, "cache hits", hit);
    draw_latency_head(frame, head);
    let of = |quantiles: fn(&Figures) -> Option<Quantiles>| figures.and_then(quantiles);
    for (area, label, quantiles, series) in [
        (
            recommend,
            "  recommend",
            of(|it| it.recommend),
            &history.recommend,
        ),
        (store, "  store", of(|it| it.store), &history.store),
        (
            shared,
            "  shared cache",
            of(|it| it.shared),
            &history.shared,
        ),
    ] {
        draw_latency(frame, area, view, label, quantiles, series);
    }
    draw_connections(frame, connections, view);
    let text = format!(
        "{}   requests in flight {}",
        summary::clients(view.report),
        summary::in_flight(view.report)
    );
    labelled(frame, clients, "clients", text);
    labelled(frame, cache, "memory cache", summary::memory_cache(total));
    labelled(
        frame,
        rejections,
        "rejections",
        summary::rejections(view.report),
    );
}

fn label(text: &str) -> Span<'static> {
    Span::styled(format!(" {text:LABEL$} "), BOLD)
}

fn labelled(frame: &mut Frame<'_>, area: Rect, name: &str, text: String) {
    frame.render_widget(Line::from_iter([label(name), text.into()]), area);
}

fn draw_requests(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let figures = view.report.total.recent.as_ref();
    let text = format!(
        "{:>7}/s   success {}",
        summary::rate(figures),
        summary::success(figures)
    );
    let [left, graph] =
        Layout::horizontal([Constraint::Length(46), Constraint::Min(0)]).areas(area);
    labelled(frame, left, "requests", text);
    sparkline(frame, inset(graph), view, &view.history.requests);
}

/// The label, three quantiles, and the rest.
fn split(area: Rect) -> [Rect; 5] {
    Layout::horizontal([
        Constraint::Length(u16::try_from(LABEL + 2).unwrap_or(u16::MAX)),
        Constraint::Length(QUANTILE),
        Constraint::Length(QUANTILE),
        Constraint::Length(QUANTILE),
        Constraint::Min(0),
    ])
    .spacing(1)
    .areas(area)
}

/// The area of each quantile's graph.
fn split_graphs(area: Rect) -> [Rect; 3] {
    Layout::horizontal([Constraint::Fill(1); 3])
        .spacing(2)
        .areas(area)
}

fn draw_latency_head(frame: &mut Frame<'_>, area: Rect) {
    let [first, p50, p95, p99, rest] = split(area);
    frame.render_widget(Line::from(label("latency")), first);
    for (area, title) in [(p50, "p50"), (p95, "p95"), (p99, "p99")] {
        frame.render_widget(Line::styled(title, DIM).right_aligned(), area);
    }
    if area.width < WIDE {
        frame.render_widget(Line::styled("  p99 over time", DIM), rest);
        return;
    }
    for (area, title) in split_graphs(rest).into_iter().zip(["p50", "p95", "p99"]) {
        frame.render_widget(Line::styled(format!("  {title} over time"), DIM), area);
    }
}

fn draw_latency(
    frame: &mut Frame<'_>,
    area: Rect,
    view: &View<'_>,
    name: &str,
    quantiles: Option<Quantiles>,
    series: &Latency,
) {
    let [first, p50, p95, p99, rest] = split(area);
    frame.render_widget(Line::from(label(name)), first);
    for (area, text) in [p50, p95, p99]
        .into_iter()
        .zip(summary::quantiles(quantiles))
    {
        frame.render_widget(Line::from(text).right_aligned(), area);
    }
    if area.width < WIDE {
        sparkline(frame, inset(rest), view, &series.p99);
        return;
    }
    let all = [&series.p50, &series.p95, &series.p99];
    for (area, series) in split_graphs(rest).into_iter().zip(all) {
        sparkline(frame, inset(area), view, series);
    }
}

/// Removes the first two characters and the last one.
fn inset(area: Rect) -> Rect {
    Rect {
        x: area.x + area.width.min(2),
        width: area.width.saturating_sub(3),
        ..area
    }
}

fn draw_connections(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let total = &view.report.total;
    let used = total.database_budget_ratio;
    let filled: u32 = (1..=BAR)
        .filter(|part| used.is_some_and(|used| used * f64::from(BAR) >= f64::from(*part)))
        .map(|_| 1)
        .sum();
    let parts = [
        label("database"),
        format!("{}   ", summary::store_connections(total)).into(),
        Span::styled("█".repeat(filled as usize), view.choices.bar()),
        Span::styled("░".repeat((BAR - filled) as usize), DIM),
    ];
    frame.render_widget(Line::from_iter(parts), area);
}
