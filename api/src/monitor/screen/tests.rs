use super::draw;
use super::view::{Choices, View};
use crate::monitor::columns::Sort;
use crate::monitor::failure::Failure;
use crate::monitor::fixture::{Activity, FleetFixture};
use crate::monitor::report::Report;
use crate::monitor::text::text;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::time::Duration;

/// Six rounds, in which process 3 dies after the fourth, process 5 has lost its shared cache and process 6 restarts at the end.
fn fixture(processes: u32) -> (FleetFixture, Report) {
    let mut fixture = FleetFixture::new(processes);
    let round = |fixture: &mut FleetFixture, round: u32| {
        fixture.round(|number| match number {
            3 if round > 4 => Err(Failure::TimedOut(Duration::from_secs(2))),
            5 => Ok(Activity {
                shared_connected: false,
                errors: round,
                ..Activity::of(round * 700)
            }
            .sample()),
            6 if round == 6 => Ok(Activity::of(30).sample()),
            _ => Ok(Activity::of(round * round * (100 + number)).sample()),
        })
    };
    let mut report = round(&mut fixture, 1);
    for number in 2..=6 {
        report = round(&mut fixture, number);
    }
    (fixture, report)
}

fn screen(
    size: (u16, u16),
    processes: u32,
    choices: Choices,
    paused_seconds: Option<f64>,
) -> Terminal<TestBackend> {
    let (fixture, report) = fixture(processes);
    let view = View {
        report: &report,
        history: &fixture.history,
        choices: &choices,
        paused_seconds,
    };
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    terminal
        .draw(|frame| assert!(draw(frame, &view) <= 60))
        .unwrap();
    terminal
}

fn colours(terminal: &Terminal<TestBackend>) -> bool {
    let cells = &terminal.backend().buffer().content;
    cells
        .iter()
        .any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
}

#[test]
fn one_process_on_a_small_terminal() {
    insta::assert_snapshot!(screen((80, 24), 1, Choices::default(), None).backend());
}

#[test]
fn fifty_processes_on_a_small_terminal_one_of_them_dead() {
    insta::assert_snapshot!(screen((80, 24), 50, Choices::default(), None).backend());
}

#[test]
fn one_process_on_a_large_terminal() {
    insta::assert_snapshot!(screen((200, 60), 1, Choices::default(), None).backend());
}

#[test]
fn fifty_processes_on_a_large_terminal_paused_and_sorted_by_state() {
    let choices = Choices {
        sort: Sort::State,
        scroll: 2,
        colours: true,
    };
    insta::assert_snapshot!(screen((200, 60), 50, choices, Some(12.0)).backend());
}

#[test]
fn without_colours_no_cell_has_one() {
    for size in [(80, 24), (200, 60)] {
        let choices = |colours| Choices {
            colours,
            ..Choices::default()
        };
        assert!(!colours(&screen(size, 50, choices(false), None)));
        assert!(colours(&screen(size, 50, choices(true), None)));
    }
}

#[test]
fn every_size_of_terminal_and_every_position_is_drawn() {
    for (width, height) in [
        (1, 1),
        (3, 40),
        (10, 3),
        (79, 13),
        (80, 14),
        (140, 15),
        (157, 16),
        (400, 5),
    ] {
        for scroll in [0, 49, usize::MAX] {
            let choices = Choices {
                scroll,
                ..Choices::default()
            };
            screen((width, height), 50, choices, Some(1.0));
        }
    }
}

#[test]
fn the_report_as_text() {
    let (_, report) = fixture(8);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn no_line_of_the_report_is_longer_than_80_characters() {
    let (_, report) = fixture(50);
    let lines = text(&report);
    assert!(
        lines.lines().all(|line| line.chars().count() <= 80),
        "{lines}"
    );
}

#[test]
fn every_order_has_every_process() {
    let (_, report) = fixture(50);
    let mut sort = Sort::default();
    loop {
        assert_eq!(sort.order(&report).len(), 50, "{sort:?}");
        sort = sort.next();
        if sort == Sort::default() {
            break;
        }
    }
    let first = |sort: Sort| sort.order(&report)[0].address.as_str();
    assert_eq!(first(Sort::State), "10.0.0.4:9464");
    assert_eq!(first(Sort::Requests), "10.0.0.50:9464");
    assert_eq!(first(Sort::Success), "10.0.0.6:9464");
}
