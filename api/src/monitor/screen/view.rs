//! What is to be drawn, and in which styles.

use crate::monitor::columns::Sort;
use crate::monitor::history::History;
use crate::monitor::report::{Report, State};
use ratatui::style::{Color, Modifier, Style};

/// Of what is less important.
pub const DIM: Style = Style::new().add_modifier(Modifier::DIM);
/// Of labels.
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// What is to be drawn.
pub struct View<'a> {
    /// What is known.
    pub report: &'a Report,
    /// How it was before.
    pub history: &'a History,
    /// How the user wants it.
    pub choices: &'a Choices,
    /// How long ago the display was paused, in seconds; `None` if it is not.
    pub paused_seconds: Option<f64>,
}

/// How the user wants it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices {
    /// The order of the table.
    pub sort: Sort,
    /// Rows of the table that are above the first one that is shown.
    pub scroll: usize,
    /// Whether there are colours.
    pub colours: bool,
}

impl Choices {
    /// A style with this colour, if there are colours.
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
