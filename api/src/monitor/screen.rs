//! Draws the screen: a function of the report.

mod processes;
mod sparkline;
mod totals;
pub mod view;

use super::columns::fitted;
use super::format::span;
use super::summary;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use view::{DIM, View};

/// Minimum width for the full name of the program in the title.
const TITLE_WIDTH: u16 = 120;

/// Draws everything; returns the number of table rows that fit.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>) -> usize {
    let notices = u16::from(!view.report.notices.is_empty());
    let [title, totals, notice, table, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(totals::HEIGHT),
        Constraint::Length(notices),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_title(frame, title, view);
    totals::draw(frame, totals, view);
    draw_notice(frame, notice, view);
    let rows = processes::draw(frame, table, view);
    draw_help(frame, help, view);
    rows
}

fn draw_title(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let style = Style::new().add_modifier(Modifier::REVERSED);
    let right = match view.paused_seconds {
        Some(seconds) => format!(" PAUSED {} ago ", span(seconds)),
        None => format!(" every {} s ", view.report.interval_seconds),
    };
    let name = if area.width < TITLE_WIDTH {
        "Reckon"
    } else {
        "reckon-api monitor"
    };
    let left = format!(" {name}   {}", summary::processes(view.report));
    let room = usize::from(area.width).saturating_sub(right.chars().count());
    frame.buffer_mut().set_style(area, style);
    frame.render_widget(Line::styled(fitted(&left, room), style), area);
    frame.render_widget(Line::styled(right, style).right_aligned(), area);
}

fn draw_notice(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    if let Some((first, others)) = view.report.notices.split_first() {
        let more = match others.len() {
            0 => String::new(),
            count => format!(" (and {count} more)"),
        };
        let style = view
            .choices
            .colour(Color::Yellow)
            .add_modifier(Modifier::BOLD);
        frame.render_widget(Line::styled(format!(" {first}{more}"), style), area);
    }
}

fn draw_help(frame: &mut Frame<'_>, area: Rect, view: &View<'_>) {
    let pause = if view.paused_seconds.is_some() {
        "resume"
    } else {
        "pause"
    };
    let sort = view.choices.sort.text();
    let help = format!(" q quit   p {pause}   s sort: {sort}   \u{2191}\u{2193} scroll");
    frame.render_widget(Line::styled(help, DIM), area);
}

#[cfg(test)]
mod tests;
