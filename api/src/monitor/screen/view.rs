//! The data to draw, and the styles.

use crate::monitor::columns::Sort;
use crate::monitor::history::History;
use crate::monitor::report::{Report, State};
use ratatui::style::{Color, Modifier, Style};

/// The style of less important text.
pub const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// The style of labels.
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// The data to draw.
pub struct View<'a> {
    /// The current state.
    pub report: &'a Report,
    /// The past values.
    pub history: &'a History,
    /// The user's choices.
    pub choices: &'a Choices,
    /// For how many seconds the display has been paused; `None` if it is not.
    pub paused_seconds: Option<f64>,
}

/// The user's choices.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    /// The order of the table.
    pub sort: Sort,
    /// Number of table rows above the first visible one.
    pub scroll: usize,
    /// Whether colours are used.
    pub colours: bool,
}

impl Choices {
    /// A style with this colour, if colours are used.
    pub fn colour(self, colour: Color) -> Style {
        if self.colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    /// The style of a state.
    pub fn state(self, state: State) -> Style {
        let bold = Modifier::BOLD;
        match state {
            State::Unreachable | State::StoreDown => self.colour(Color::Red).add_modifier(bold),
            State::Degraded | State::Restarted => self.colour(Color::Yellow).add_modifier(bold),
            State::Waiting => Style::new().add_modifier(Modifier::DIM),
            State::Up => self.colour(Color::Green),
        }
    }

    /// The style of bars and graphs.
    pub fn bar(self) -> Style {
        self.colour(Color::Cyan)
    }
}
