//! Means over users and their 95 % confidence intervals, by bootstrap.

use fastrand::Rng;

/// Number of samples of the users that are drawn.
const SAMPLES: usize = 1000;
/// The same samples each time, so that the same data give the same interval.
const SEED: u64 = 1;

/// A 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// A mean, and how certain it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The mean.
    pub mean: f64,
    /// Its interval.
    pub interval: Interval,
    /// Number of values.
    pub values: u64,
}

/// The values of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OfUser {
    /// Their sum.
    pub sum: f64,
    /// How many they are.
    pub values: u32,
}

impl OfUser {
    /// Counts a value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.values += 1;
    }
}

/// The mean of all values. The interval shows how the mean would vary with other users. None if there are no values.
#[must_use]
pub fn figure(users: &[OfUser]) -> Option<Figure> {
    let users: Vec<OfUser> = users
        .iter()
        .filter(|user| user.values > 0)
        .copied()
        .collect();
    let mean = |chosen: &mut dyn Iterator<Item = &OfUser>| {
        let (sum, values) = chosen.fold((0.0, 0.0), |(sum, values), user| {
            (sum + user.sum, values + f64::from(user.values))
        });
        sum / values
    };
    if users.is_empty() {
        return None;
    }
    let mut random = Rng::with_seed(SEED);
    let mut means: Vec<f64> = (0..SAMPLES)
        .map(|_| mean(&mut (0..users.len()).map(|_| &users[random.usize(0..users.len())])))
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    Some(Figure {
        mean: mean(&mut users.iter()),
        interval: Interval {
            low: means[SAMPLES / 40],
            high: means[SAMPLES - 1 - SAMPLES / 40],
        },
        values: users.iter().map(|user| u64::from(user.values)).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::{OfUser, figure};

    fn users(values: &[f64]) -> Vec<OfUser> {
        let one = |sum: &f64| OfUser {
            sum: *sum,
            values: 1,
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn the_mean_is_over_values_and_not_over_users() {
        let mut one = OfUser::default();
        one.add(1.0);
        one.add(1.0);
        one.add(1.0);
        let figure = figure(&[one, OfUser::default(), users(&[0.0])[0]]).unwrap();
        assert!((figure.mean - 0.75).abs() < 1e-12);
        assert_eq!(figure.values, 4);
    }

    #[test]
    fn the_interval_is_about_two_standard_errors_to_each_side() {
        let values: Vec<f64> = (0..400).map(|at| f64::from(at % 2)).collect();
        let interval = figure(&users(&values)).unwrap().interval;
        // The standard error is 0.5 / sqrt(400) = 0.025.
        assert!((interval.low - 0.451).abs() < 0.006, "{interval:?}");
        assert!((interval.high - 0.549).abs() < 0.006, "{interval:?}");
    }

    #[test]
    fn equal_values_have_an_interval_of_zero_and_no_values_have_no_mean() {
        let certain = figure(&users(&[0.5, 0.5])).unwrap();
        assert!((certain.interval.high - certain.interval.low).abs() < 1e-12);
        assert_eq!(figure(&users(&[])), None);
        assert_eq!(figure(&[OfUser::default()]), None);
    }
}
