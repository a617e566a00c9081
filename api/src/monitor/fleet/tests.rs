use super::Fleet;
use crate::monitor::endpoint::{Endpoint, MAX_PROCESSES};
use crate::monitor::failure::Failure;
use crate::monitor::fixture::{Activity, FleetFixture};
use crate::monitor::report::State;
use crate::monitor::sample::Gauges;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const LATE: Failure = Failure::TimedOut(Duration::from_secs(2));

fn addresses(count: u32) -> Vec<SocketAddr> {
    let address = |number| (Ipv4Addr::from_bits(0x0a00_0000 + number), 1).into();
    (1..=count).map(address).collect()
}

fn names(fleet: &Fleet) -> Vec<String> {
    fleet.targets().map(|it| it.name.clone()).collect()
}

#[test]
fn a_process_that_fails_has_no_figures_from_before() {
    let mut fixture = FleetFixture::new(2);
    fixture.round(|_| Ok(Activity::of(1000).sample()));
    let report = fixture.round(|_| Ok(Activity::of(2000).sample()));
    assert_eq!(
        report.total.recent.unwrap().requests_per_second,
        Some(1000.0)
    );
    let fails = |number| {
        if number == 0 {
            Err(LATE)
        } else {
            Ok(Activity::of(3000).sample())
        }
    };
    fixture.round(fails);
    let report = fixture.round(|number| {
        if number == 0 {
            Err(LATE)
        } else {
            Ok(Activity::of(4000).sample())
        }
    });

    let dead = &report.processes[0];
    assert_eq!(dead.state, State::Unreachable);
    assert_eq!(dead.error.as_deref(), Some("no answer within 2 s"));
    assert_eq!(dead.last_answer_seconds_ago, Some(4.0));
    assert_eq!(
        (&dead.now, &dead.version, dead.store_up),
        (&Gauges::default(), &None, None)
    );
    assert!(dead.recent.is_none() && dead.since_start.is_none());
    let total = &report.total;
    assert_eq!((total.answering, total.processes), (1, 2));
    assert_eq!(
        total.recent.as_ref().unwrap().requests_per_second,
        Some(500.0)
    );
    assert_eq!(total.now.store_limit, Some(10.0));
    let series = fixture.history.processes["10.0.0.1:9464"]
        .newest(9)
        .collect::<Vec<_>>();
    assert_eq!(series, [None, Some(500.0), None, None]);
}

#[test]
fn a_process_that_is_back_has_its_average_over_the_gap_or_since_its_restart() {
    for (now, per_second, state) in [
        (Activity::of(4000), 500.0, State::Up),
        (Activity::of(300), 50.0, State::Restarted),
    ] {
        let mut fixture = FleetFixture::new(1);
        fixture.round(|_| Ok(Activity::of(1000).sample()));
        fixture.round(|_| Err(LATE));
        fixture.round(|_| Err(LATE));
        let report = fixture.round(|_| Ok(now.sample()));
        let process = &report.processes[0];
        assert_eq!(process.state, state);
        assert_eq!(
            process.recent.as_ref().unwrap().requests_per_second,
            Some(per_second)
        );
    }
}

#[test]
fn processes_are_counted_by_their_worst_state_with_the_worst_first() {
    let mut fixture = FleetFixture::new(5);
    let report = fixture.report();
    assert!(report.processes.iter().all(|it| it.state == State::Waiting));
    let report = fixture.round(|number| match number {
        0 => Ok(Activity::of(1).sample()),
        1 => Ok(Activity {
            shared_connected: false,
            ..Activity::of(1)
        }
        .sample()),
        2 => Ok(Activity {
            shared_connected: false,
            store_up: false,
            ..Activity::of(1)
        }
        .sample()),
        3 => Err(Failure::NotFound),
        _ => Err(Failure::TooLarge),
    });
    let states: Vec<_> = report.total.states().collect();
    let expected = [
        (State::Unreachable, 2),
        (State::StoreDown, 1),
        (State::Degraded, 1),
        (State::Up, 1),
    ];
    assert_eq!(states, expected);
    assert_eq!(report.total.database_budget_ratio, Some(0.7));
}

#[test]
fn processes_behind_a_name_are_added_and_removed() {
    let mut fleet = Fleet::new(vec![
        Endpoint::process("10.0.0.2:1").unwrap(),
        Endpoint::process("10.0.0.2:1").unwrap(),
        Endpoint::name("pods:1").unwrap(),
    ]);
    assert_eq!(names(&fleet), ["10.0.0.2:1"]);
    fleet.resolved(2, Some(addresses(3)));
    assert_eq!(names(&fleet), ["10.0.0.2:1", "10.0.0.1:1", "10.0.0.3:1"]);
    // A failed look-up is reported, and changes nothing else.
    fleet.resolved(2, None);
    assert_eq!(names(&fleet).len(), 3);
    let gone = fleet.targets().nth(2).unwrap().clone();
    fleet.resolved(2, Some(addresses(1)));
    assert_eq!(names(&fleet), ["10.0.0.2:1", "10.0.0.1:1"]);
    fleet.answered(
        &gone,
        std::time::Instant::now(),
        Ok(Activity::of(1).sample()),
    );
    assert_eq!(names(&fleet).len(), 2);
}

#[test]
fn the_number_of_processes_is_bounded() {
    let mut fleet = Fleet::new(vec![
        Endpoint::process("10.0.0.1:1").unwrap(),
        Endpoint::name("pods:1").unwrap(),
    ]);
    fleet.resolved(1, Some(addresses(5000)));
    assert_eq!(names(&fleet).len(), MAX_PROCESSES);
    assert_eq!(
        fleet.groups[1].notice.as_deref(),
        Some("pods:1: watching 199 of 4999 processes, the limit")
    );
}

#[test]
fn a_name_of_one_process_that_has_no_address_is_a_process_that_fails() {
    let mut fleet = Fleet::new(vec![Endpoint::process("nowhere.invalid:1").unwrap()]);
    fleet.resolved(0, None);
    assert_eq!(names(&fleet), ["nowhere.invalid:1"]);
}
