#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use super::{Figures, Window};
use crate::monitor::fixture::{Activity, START};
use proptest::prelude::*;

fn between(before: Activity, now: Activity, seconds: f64) -> Figures {
    let window = Window::between(&before.sample(), &now.sample(), seconds).unwrap();
    Figures::of([&window]).unwrap()
}

fn close(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
}

#[test]
fn rates_and_ratios_are_computed_between_two_samples() {
    let later = Activity {
        errors: 100,
        ..Activity::of(3000)
    };
    let figures = between(Activity::of(1000), later, 4.0);
    assert_eq!(figures.requests, 2000.0);
    close(figures.requests_per_second, 500.0);
    close(figures.success_ratio, 0.95);
    close(figures.memory_hit_ratio, 0.75);
    close(figures.shared_hit_ratio, 0.5);
    close(figures.rejections_per_second, 5.0);
    assert_eq!(
        figures.rejections.into_iter().collect::<Vec<_>>(),
        [("rate_limit", 20.0)]
    );
    let quantiles = figures.recommend.unwrap();
    close(Some(quantiles.p50_seconds), 0.0001);
    close(Some(quantiles.p95_seconds), 0.006_625);
    close(Some(quantiles.p99_seconds), 0.055);
}

#[test]
fn without_requests_there_is_a_rate_of_zero_and_no_ratio() {
    let figures = between(Activity::of(1000), Activity::of(1000), 2.0);
    assert_eq!(figures.requests_per_second, Some(0.0));
    assert_eq!(
        (
            figures.success_ratio,
            figures.memory_hit_ratio,
            figures.recommend
        ),
        (None, None, None)
    );
    let sample = Activity::of(1).sample();
    assert_eq!(Window::between(&sample, &sample, 0.0), None);
    assert_eq!(Figures::of([]), None);
}

#[test]
fn after_a_restart_what_was_counted_since_counts() {
    let restarted = Activity {
        start: START + 60.0,
        ..Activity::of(100)
    };
    for (before, now) in [
        (Activity::of(1000), Activity::of(100)),
        (Activity::of(1000), restarted),
        // Its counters are higher than before the restart: only the start time shows the restart.
        (Activity::of(50), restarted),
    ] {
        let window = Window::between(&before.sample(), &now.sample(), 2.0).unwrap();
        assert!(window.restarted);
        let figures = Figures::of([&window]).unwrap();
        close(figures.requests_per_second, 50.0);
        close(figures.memory_hit_ratio, 0.75);
    }
}

#[test]
fn figures_since_the_start_are_averages_of_the_whole_life() {
    let sample = Activity::of(7200).sample();
    let window = Window::since_start(&sample, START + 3600.0);
    assert!(!window.restarted);
    let figures = Figures::of([&window]).unwrap();
    assert_eq!(figures.requests, 7200.0);
    close(figures.requests_per_second, 2.0);
    // A process that does not report its start, or reports a start in the future.
    let unknown = Window::since_start(&sample, START - 1.0);
    assert_eq!(
        Figures::of([&window, &unknown])
            .unwrap()
            .requests_per_second,
        None
    );
}

#[test]
fn rates_of_processes_add_up_and_ratios_are_of_all_requests() {
    let slow = Window::between(
        &Activity::of(0).sample(),
        &Activity::of(1000).sample(),
        10.0,
    )
    .unwrap();
    let failing = Activity {
        errors: 500,
        ..Activity::of(1000)
    };
    let fast = Window::between(&Activity::of(0).sample(), &failing.sample(), 2.0).unwrap();
    let figures = Figures::of([&slow, &fast]).unwrap();
    close(figures.requests_per_second, 600.0);
    close(figures.success_ratio, 0.75);
}

proptest! {
    #[test]
    fn no_two_samples_give_a_negative_rate_or_a_ratio_beyond_one(
        before in 0..100_000_u32, now in 0..100_000_u32, failed in 0.0..1.0_f64, seconds in 0.001..100.0_f64,
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a number stays in its range")]
        let errors = |requests: u32| (f64::from(requests) * failed) as u32;
        let activity = |requests| Activity { errors: errors(requests), ..Activity::of(requests) };
        let figures = between(activity(before), activity(now), seconds);
        prop_assert!(figures.requests_per_second.unwrap() >= 0.0);
        for ratio in [figures.success_ratio, figures.memory_hit_ratio, figures.shared_hit_ratio].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&ratio));
        }
    }
}
