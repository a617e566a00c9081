//! The table of processes: its columns and its sort orders.

use super::figures::Figures;
use super::format::{bytes, number, or_dash, percent, seconds, span, whole};
use super::report::{Process, Report, SharedCache, State};
use std::cmp::Ordering;

/// Minimum width for all columns.
pub const WIDE: usize = 156;

/// One column.
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Width in characters, without the gap before the next column.
    pub width: usize,
    /// The sort order by this column.
    pub sort: Option<Sort>,
    is_for_wide: bool,
    cell: fn(&Process) -> String,
}

/// The sort order of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// In the order of the command line, then by address.
    #[default]
    Process,
    /// The worst first.
    State,
    /// The most requests first.
    Requests,
    /// The lowest success ratio first.
    Success,
    /// The lowest hit ratio first.
    MemoryHits,
    /// The slowest first.
    P99,
    /// The most connections first.
    Connections,
}

impl Sort {
    /// The next order, cyclically.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::Process => Self::State,
            Self::State => Self::Requests,
            Self::Requests => Self::Success,
            Self::Success => Self::MemoryHits,
            Self::MemoryHits => Self::P99,
            Self::P99 => Self::Connections,
            Self::Connections => Self::Process,
        }
    }

    /// Its name in the help line.
    pub fn text(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::State => "state",
            Self::Requests => "requests",
            Self::Success => "success",
            Self::MemoryHits => "memory hits",
            Self::P99 => "p99",
            Self::Connections => "connections",
        }
    }

    /// The processes in this order. Processes without this figure come last.
    pub fn order(self, report: &Report) -> Vec<&Process> {
        let mut processes: Vec<_> = report.processes.iter().collect();
        let key: fn(&Process) -> Option<f64> = match self {
            Self::Process => return processes,
            Self::State => {
                processes.sort_by_key(|process| process.state);
                return processes;
            }
            Self::Requests => |it| it.recent.as_ref()?.requests_per_second.map(|it| -it),
            Self::Success => |it| it.recent.as_ref()?.success_ratio,
            Self::MemoryHits => |it| it.recent.as_ref()?.memory_hit_ratio,
            Self::P99 => |it| Some(-it.recent.as_ref()?.recommend?.p99_seconds),
            Self::Connections => |it| it.now.store_open.map(|it| -it),
        };
        processes.sort_by(|one, other| match (key(one), key(other)) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
        processes
    }
}

const fn column(title: &'static str, width: usize, cell: fn(&Process) -> String) -> Column {
    Column {
        title,
        width,
        sort: None,
        is_for_wide: false,
        cell,
    }
}

impl Column {
    const fn by(mut self, sort: Sort) -> Self {
        self.sort = Some(sort);
        self
    }

    const fn wide(mut self) -> Self {
        self.is_for_wide = true;
        self
    }
}

/// The first two are left-aligned; an unreachable process has values only in these.
static COLUMNS: [Column; 19] = [
    column("process", 21, |it| it.address.clone()).by(Sort::Process),
    column("state", 11, |it| it.state.text().to_owned()).by(Sort::State),
    column("req/s", 7, |it| {
        recent(it, number, |it| it.requests_per_second)
    })
    .by(Sort::Requests),
    column("ok %", 5, |it| recent(it, percent, |it| it.success_ratio)).by(Sort::Success),
    column("mem %", 5, |it| {
        recent(it, percent, |it| it.memory_hit_ratio)
    })
    .by(Sort::MemoryHits),
    column("shd %", 5, |it| {
        recent(it, percent, |it| it.shared_hit_ratio)
    })
    .wide(),
    column("p50", 6, |it| {
        recent(it, seconds, |it| Some(it.recommend?.p50_seconds))
    }),
    column("p95", 6, |it| {
        recent(it, seconds, |it| Some(it.recommend?.p95_seconds))
    })
    .wide(),
    column("p99", 6, |it| {
        recent(it, seconds, |it| Some(it.recommend?.p99_seconds))
    })
    .by(Sort::P99),
    column("db conn", 7, connections).by(Sort::Connections),
    column("busy", 4, |it| or_dash(it.now.store_busy, whole)).wide(),
    column("db p99", 6, |it| {
        recent(it, seconds, |it| Some(it.store?.p99_seconds))
    })
    .wide(),
    column("shared", 6, |it| shared(it).to_owned()).wide(),
    column("clients", 7, |it| or_dash(it.now.clients, whole)).wide(),
    column("flight", 6, |it| or_dash(it.now.in_flight, whole)).wide(),
    column("rej/s", 6, |it| {
        recent(it, number, |it| it.rejections_per_second)
    })
    .wide(),
    column("cache", 8, |it| or_dash(it.now.memory_bytes, bytes)).wide(),
    column("rss", 8, |it| or_dash(it.now.resident_bytes, bytes)).wide(),
    column("uptime", 6, |it| or_dash(it.uptime_seconds, span)).wide(),
];

fn recent(
    process: &Process,
    format: fn(f64) -> String,
    figure: fn(&Figures) -> Option<f64>,
) -> String {
    or_dash(process.recent.as_ref().and_then(figure), format)
}

fn connections(process: &Process) -> String {
    let of = |gauge| or_dash(gauge, whole);
    format!(
        "{}/{}",
        of(process.now.store_open),
        of(process.now.store_limit)
    )
}

fn shared(process: &Process) -> &'static str {
    match process.shared_cache {
        None => super::format::UNKNOWN,
        Some(SharedCache::None) => "none",
        Some(SharedCache::Connected) => "up",
        Some(SharedCache::Disconnected) => "lost",
    }
}

/// The columns that fit into a line of `width` characters.
pub fn columns(width: usize) -> impl Iterator<Item = &'static Column> {
    COLUMNS
        .iter()
        .filter(move |it| width >= WIDE || !it.is_for_wide)
}

/// The titles as one line; the sort column is marked.
pub fn titles(width: usize, sort: Sort) -> String {
    let cells = columns(width).map(|column| {
        let is_sorted = column.sort == Some(sort) && sort != Sort::Process;
        format!("{}{}", if is_sorted { "*" } else { "" }, column.title)
    });
    line(width, cells)
}

/// One process as one line.
pub fn row(width: usize, process: &Process) -> String {
    if process.state != State::Unreachable {
        return line(width, columns(width).map(|column| (column.cell)(process)));
    }
    let mut text = line(
        width,
        columns(width).take(2).map(|column| (column.cell)(process)),
    );
    text.push_str("  ");
    text.push_str(process.error.as_deref().unwrap_or_default());
    if let Some(ago) = process.last_answer_seconds_ago {
        text.extend(["; last answer ", &span(ago), " ago"]);
    }
    fitted(&text, width)
}

fn line(width: usize, cells: impl Iterator<Item = String>) -> String {
    let mut line = String::new();
    for (index, (column, cell)) in columns(width).zip(cells).enumerate() {
        let cell = fitted(&cell, column.width);
        let columns = column.width;
        let cell = match index {
            0 => format!("{cell:columns$}"),
            1 => format!("  {cell:columns$}"),
            _ => format!(" {cell:>columns$}"),
        };
        line.push_str(&cell);
    }
    line
}

/// The text, cut to `width` characters with an ellipsis at the end.
pub fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(['…']).collect()
}
