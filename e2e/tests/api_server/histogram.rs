//! A histogram of a scrape.

/// Upper bounds in ascending order, each with the number of observations that are not greater.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<(f64, usize)>,
}

impl Histogram {
    /// The histogram `name` of a scrape, which has one series.
    pub fn of(text: &str, name: &str) -> Self {
        let prefix = format!("{name}_bucket{{le=\"");
        let buckets = text.lines().filter_map(|line| {
            let (bound, rest) = line.strip_prefix(&prefix)?.split_once('"')?;
            let (_, count) = rest.rsplit_once(' ')?;
            // "+Inf" is a number too.
            Some((bound.parse().ok()?, count.parse().ok()?))
        });
        let buckets: Vec<_> = buckets.collect();
        assert!(!buckets.is_empty(), "no {name} in {text}");
        Self { buckets }
    }

    /// The observations since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let both = self.buckets.iter().zip(&before.buckets);
        let buckets = both.map(|((bound, now), (_, before))| (*bound, now - before));
        Self {
            buckets: buckets.collect(),
        }
    }

    /// How many observations.
    pub fn count(&self) -> usize {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// The smallest bound that at least this percentage of the observations does not exceed.
    pub fn bound(&self, percent: usize) -> f64 {
        let enough = |count: usize| count * 100 >= percent * self.count();
        let reached = self.buckets.iter().find(|(_, count)| enough(*count));
        reached.map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}
