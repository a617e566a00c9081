//! The rate limit of one client: the generic cell rate algorithm (ITU-T I.371), whose state is one number.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// Requests a second in the long run, and the size of a burst. Times are nanoseconds.
pub struct Gcra {
    rate: u32,
    burst: u32,
    /// The cost of one request.
    interval: u64,
}

impl Gcra {
    /// `rate` requests a second, in bursts of up to `burst`; both at least 1.
    pub fn new(rate: u32, burst: u32) -> Self {
        // Rounded up: the limit is never exceeded, and at most one millionth of it is unused.
        let interval = SECOND.div_ceil(rate.into());
        Self {
            rate,
            burst,
            interval,
        }
    }

    /// Takes one request at `now`. `paid_back` is the algorithm's theoretical arrival time for the client: the time at
    /// which its full burst is available again (0 for an unknown client). Returns the new `paid_back`, or how long to
    /// wait.
    pub fn take(&self, paid_back: u64, now: u64) -> Result<u64, Duration> {
        let after = paid_back.max(now).saturating_add(self.interval);
        let latest = now.saturating_add(self.interval * u64::from(self.burst));
        match after.checked_sub(latest) {
            None | Some(0) => Ok(after),
            Some(wait) => Err(Duration::from_nanos(wait)),
        }
    }

    /// Seconds until a used burst is available again, as a whole number.
    pub fn window_seconds(&self) -> u64 {
        u64::from(self.burst.div_ceil(self.rate))
    }

    /// Requests that are allowed in [`Self::window_seconds`].
    pub fn quota(&self) -> u64 {
        u64::from(self.rate) * self.window_seconds()
    }
}

#[cfg(test)]
mod tests {
    use super::{Gcra, SECOND};
    use proptest::prelude::{prop_assert, proptest};
    use std::time::Duration;

    /// The number of allowed requests among those at these times, and the longest wait that a rejection returned.
    fn through(gcra: &Gcra, times: impl IntoIterator<Item = u64>) -> (u64, Duration) {
        let (mut state, mut taken, mut longest) = (0, 0, Duration::ZERO);
        for now in times {
            match gcra.take(state, now) {
                Ok(after) => (state, taken) = (after, taken + 1),
                Err(wait) => longest = longest.max(wait),
            }
        }
        (taken, longest)
    }

    #[test]
    fn a_burst_and_then_the_rate_are_accepted() {
        let gcra = Gcra::new(100, 20);
        let at_once = std::iter::repeat_n(SECOND, 50);
        assert_eq!(through(&gcra, at_once).0, 20);
        // 150 requests a second for ten seconds.
        let paced = (0..1500).map(|n| SECOND + n * SECOND / 150);
        let (taken, longest) = through(&gcra, paced);
        assert!((1018..=1020).contains(&taken), "{taken}");
        assert!(longest <= Duration::from_millis(10), "{longest:?}");
    }

    #[test]
    fn a_client_that_waits_for_retry_after_is_accepted() {
        let gcra = Gcra::new(3, 1);
        let state = gcra.take(0, 5).unwrap();
        let wait = gcra.take(state, 6).unwrap_err();
        let now = 6 + u64::try_from(wait.as_nanos()).unwrap();
        assert!(gcra.take(state, now - 1).is_err());
        assert!(gcra.take(state, now).is_ok());
    }

    #[test]
    fn a_window_holds_a_burst_at_the_rate() {
        for (rate, burst, quota, window) in [(100, 100, 100, 1), (100, 10, 100, 1), (10, 25, 30, 3)]
        {
            let gcra = Gcra::new(rate, burst);
            assert_eq!((gcra.quota(), gcra.window_seconds()), (quota, window));
        }
    }

    proptest! {
        #[test]
        fn no_interval_accepts_more_than_a_burst_and_the_rate(
            rate in 1_u32..=1_000_000,
            burst in 1_u32..=1000,
            gaps in proptest::collection::vec(0_u64..2_000_000, 1..400),
        ) {
            let gcra = Gcra::new(rate, burst);
            let times: Vec<u64> = gaps
                .iter()
                .scan(0, |now, gap| { *now += gap; Some(*now) })
                .collect();
            let mut state = 0;
            let mut taken = Vec::new();
            for now in times {
                match gcra.take(state, now) {
                    Ok(after) => { taken.push(now); state = after; }
                    Err(wait) => {
                        // The wait is exact.
                        let then = now + u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(gcra.take(state, then).is_ok());
                        prop_assert!(gcra.take(state, then - 1).is_err());
                    }
                }
            }
            for (first, begin) in taken.iter().enumerate() {
                for (last, end) in taken.iter().enumerate().skip(first) {
                    let beyond_burst = (last - first + 1).saturating_sub(burst as usize) as u64;
                    prop_assert!(beyond_burst * SECOND <= (end - begin) * u64::from(rate));
                }
            }
        }

        #[test]
        fn a_client_within_its_rate_is_never_rejected(
            rate in 1_u32..=1_000_000,
            burst in 1_u32..=1000,
            gaps in proptest::collection::vec(0_u64..1_000_000, 1..400),
        ) {
            let gcra = Gcra::new(rate, burst);
            let interval = SECOND.div_ceil(rate.into());
            let (mut state, mut now) = (0, 0);
            for gap in gaps {
                now += interval + gap;
                let taken = gcra.take(state, now);
                prop_assert!(taken.is_ok());
                state = taken.unwrap();
            }
        }
    }
}
