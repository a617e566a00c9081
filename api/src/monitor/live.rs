//! The view on a terminal: draws, handles keys, and always restores the terminal at its end.

use super::history::History;
use super::report::Report;
use super::screen::draw;
use super::screen::view::{Choices, View};
use super::session::{Session, Step};
use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Minimum time between two redraws for new data; keys take effect at once.
const REDRAW: Duration = Duration::from_millis(250);
/// Maximum wait, after a signal, for a terminal that accepts no output.
const TERMINAL_TIMEOUT: Duration = Duration::from_secs(2);

/// The terminal, until it is dropped.
struct Screen(DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        // If the terminal no longer exists, errors cannot be handled.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}

/// The displayed data and the user's choices.
struct Display {
    choices: Choices,
    /// Number of table rows that fit.
    room: usize,
    frozen: Option<(Instant, Report, History)>,
}

/// Displays the session until a key or a signal ends it.
pub async fn run(mut session: Session) -> anyhow::Result<()> {
    let mut signals = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ]
    .map(signal)
    .into_iter()
    .collect::<Result<Vec<_>, _>>()
    .context("failed to listen for signals")?;
    // From here on, a panic restores the terminal before it is reported.
    let mut screen = Screen(ratatui::try_init().context("failed to prepare the terminal")?);
    let mut keys = EventStream::new();
    let mut display = Display::new();
    let mut redraw = interval(REDRAW);
    redraw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = true;
    loop {
        tokio::select! {
            biased;
            () = any(&mut signals) => {
                tokio::spawn(give_up());
                return Ok(());
            }
            key = keys.next() => match key {
                None => return Ok(()),
                Some(event) => {
                    if display.take(&event.context("failed to read the terminal")?, &session).is_end() {
                        return Ok(());
                    }
                    display.draw(&mut screen, &session)?;
                }
            },
            _ = redraw.tick(), if is_stale => {
                is_stale = false;
                display.draw(&mut screen, &session)?;
            }
            step = session.step() => {
                is_stale |= display.frozen.is_none() || step? == Step::RoundEnded;
            }
        }
    }
}

async fn any(signals: &mut [Signal]) {
    let each = signals.iter_mut().map(|it| Box::pin(it.recv()));
    futures_util::future::select_all(each).await;
}

async fn give_up() {
    sleep(TERMINAL_TIMEOUT).await;
    let _ = crossterm::terminal::disable_raw_mode();
    std::process::exit(1);
}

/// The action of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

impl Next {
    fn is_end(self) -> bool {
        self == Self::End
    }
}

impl Display {
    fn new() -> Self {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            choices: Choices {
                colours,
                ..Choices::default()
            },
            room: 0,
            frozen: None,
        }
    }

    fn draw(&mut self, screen: &mut Screen, session: &Session) -> anyhow::Result<()> {
        let now;
        let (report, history, paused_seconds) = if let Some((since, report, history)) = &self.frozen
        {
            (report, history, Some(since.elapsed().as_secs_f64()))
        } else {
            now = session.report();
            (&now, &session.history, None)
        };
        let rows = report.processes.len();
        self.choices.scroll = self.choices.scroll.min(rows.saturating_sub(self.room));
        let view = View {
            report,
            history,
            choices: &self.choices,
            paused_seconds,
        };
        let mut room = 0;
        let drawn = screen.0.draw(|frame| room = draw(frame, &view));
        drawn.context("failed to write to the terminal")?;
        self.room = room;
        Ok(())
    }

    fn take(&mut self, event: &Event, session: &Session) -> Next {
        let Event::Key(key) = event else {
            return Next::GoOn;
        };
        if key.kind == KeyEventKind::Release {
            return Next::GoOn;
        }
        if ends(key) {
            return Next::End;
        }
        let page = self.room.max(1);
        let scroll = &mut self.choices.scroll;
        match key.code {
            KeyCode::Char('p' | ' ') => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some((Instant::now(), session.report(), session.history.clone())),
                };
            }
            KeyCode::Char('s') => self.choices.sort = self.choices.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => *scroll = scroll.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => *scroll = scroll.saturating_sub(1),
            KeyCode::PageDown => *scroll = scroll.saturating_add(page),
            KeyCode::PageUp => *scroll = scroll.saturating_sub(page),
            KeyCode::Home => *scroll = 0,
            KeyCode::End => *scroll = usize::MAX,
            _ => {}
        }
        Next::GoOn
    }
}

fn ends(key: &KeyEvent) -> bool {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => true,
        KeyCode::Char('c' | 'd') => is_control,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Display, Next};
    use crate::monitor::columns::Sort;
    use crate::monitor::session::Session;
    use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
    use std::time::Duration;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(code, modifiers))
    }

    #[tokio::test]
    async fn keys_end_pause_sort_and_scroll() {
        let session = Session::new(Vec::new(), Duration::from_secs(2));
        let mut display = Display::new();
        let mut press = |code| display.take(&key(code, KeyModifiers::NONE), &session);
        assert_eq!(press(KeyCode::Char('q')), Next::End);
        assert_eq!(press(KeyCode::Esc), Next::End);
        assert_eq!(press(KeyCode::Char('c')), Next::GoOn);
        assert_eq!(press(KeyCode::Char('s')), Next::GoOn);
        assert_eq!(press(KeyCode::Down), Next::GoOn);
        assert_eq!(press(KeyCode::Char('p')), Next::GoOn);
        assert_eq!(display.choices.sort, Sort::State);
        assert_eq!(display.choices.scroll, 1);
        assert!(display.frozen.is_some());
        let space = key(KeyCode::Char(' '), KeyModifiers::NONE);
        display.take(&space, &session);
        assert!(display.frozen.is_none());
        let control_c = key(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(display.take(&control_c, &session), Next::End);
    }
}
