//! A graph with a height of one line.

use super::view::View;
use crate::monitor::history::Series;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::widgets::{RenderDirection, Sparkline, SparklineBar};

/// The newest values are at the right; missing values are blank. The greatest value fills the line.
pub fn sparkline(frame: &mut Frame<'_>, area: Rect, view: &View<'_>, series: &Series) {
    let values: Vec<_> = series.newest(area.width.into()).collect();
    let most = values.iter().copied().flatten().fold(0.0, f64::max);
    let bars = values
        .iter()
        .rev()
        .map(|value| SparklineBar::from(value.map(|value| height(value, most))));
    let widget = Sparkline::default()
        .data(bars)
        .max(EIGHTHS)
        .direction(RenderDirection::RightToLeft)
        .style(view.choices.bar());
    frame.render_widget(widget, area);
}

/// Steps of a character's height.
const EIGHTHS: u64 = 8;

/// The height of a value in steps. A value above zero has at least one step, to distinguish it from zero.
fn height(value: f64, most: f64) -> u64 {
    let steps = (1..=EIGHTHS).zip(1_u8..);
    let reached = steps.filter(|(_, step)| value * 8.0 >= most * (f64::from(*step) - 0.5));
    let highest = reached.map(|(step, _)| step).last().unwrap_or(1);
    if value > 0.0 { highest } else { 0 }
}
