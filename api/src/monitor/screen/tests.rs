use super::draw;
use super::view::{Choices, View};
use crate::monitor::columns::Sort;
use crate::monitor::failure::Failure;
use crate::monitor::fixture::{Scene, Stage};
use crate::monitor::report::Report;
use crate::monitor::text::text;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::time::Duration;

/// Six rounds, in which process 3 dies after the fourth, process 5 has lost its shared cache and process 6 restarts at the end.
fn stage(processes: u32) -> (Stage, Report) {
    let mut stage = Stage::new(processes);
    let round = |stage: &mut Stage, round: u32| {
        stage.round(|number| match number {
            3 if round > 4 => Err(Failure::TimedOut(Duration::from_secs(2))),
            5 => Ok(Scene {
                shared_connected: false,
                errors: round,
                ..Scene::of(round * 700)
            }
            .sample()),
            6 if round == 6 => Ok(Scene::of(30).sample()),
            _ => Ok(Scene::of(round * round * (100 + number)).sample()),
        })
    };
    let mut report = round(&mut stage, 1);
    for number in 2..=6 {
        report = round(&mut stage, number);
    }
    (stage, report)
}

fn screen(
    size: (u16, u16),
    processes: u32,
    choices: Choices,
    paused_seconds: Option<f64>,
) -> Terminal<TestBackend> {
    let (stage, report) = stage(processes);
    let view = View {
        report: &report,
        history: &stage.history,
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
fn no_size_of_terminal_and_no_position_stops_it() {
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
    let (_, report) = stage(8);
    insta::assert_snapshot!(text(&report));
}

#[test]
fn no_line_of_the_report_is_longer_than_80_characters() {
    let (_, report) = stage(50);
    let lines = text(&report);
    assert!(
        lines.lines().all(|line| line.chars().count() <= 80),
        "{lines}"
    );
}

#[test]
fn every_order_has_every_process() {
    let (_, report) = stage(50);
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
