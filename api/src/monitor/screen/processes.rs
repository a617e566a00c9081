//! The table of processes.

use super::sparkline::sparkline;
use super::view::{DIM, View};
use crate::monitor::columns::{WIDE, row, titles};
use crate::monitor::history::Series;
use crate::monitor::report::Process;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

/// Draws the titles and as many rows as fit, from the first visible one on; returns the number of rows that fit.
pub fn draw(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) -> usize {
    let width = usize::from(area.width.saturating_sub(1));
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let style = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    let titles = format!(" {}", titles(width, view.choices.sort));
    frame.render_widget(Line::styled(titles, style), head);

    let ordered = view.choices.sort.order(view.report);
    let all = ordered.len();
    let mut room = usize::from(body.height);
    let is_scrolled = all > room && room > 1;
    if is_scrolled {
        room -= 1;
    }
    let first = view.choices.scroll.min(all.saturating_sub(room));
    let shown = ordered.into_iter().skip(first).take(room);
    for (area, process) in body.rows().zip(shown) {
        draw_row(frame, area, view, process);
    }
    if let (true, Some(last)) = (is_scrolled, body.rows().next_back()) {
        let text = format!(" {} to {} of {all}", first + 1, first + room);
        frame.render_widget(Line::styled(text, DIM), last);
    }
    room
}

fn draw_row(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, process: &Process) {
    let width = usize::from(area.width.saturating_sub(1));
    let text = format!(" {}", row(width, process));
    let used = u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
    frame.render_widget(Line::from(text), area);
    let state = Rect {
        x: area.x + 24,
        width: 11,
        ..area
    };
    let style = view.choices.state(process.state);
    frame
        .buffer_mut()
        .set_style(state.intersection(area), style);
    if width >= WIDE && process.error.is_none() {
        let graph = Rect {
            x: area.x + used + 2,
            width: area.width.saturating_sub(used + 3),
            ..area
        };
        let series = view.history.processes.get(&process.address);
        let nothing = Series::default();
        sparkline(frame, graph, view, series.unwrap_or(&nothing));
    }
}
