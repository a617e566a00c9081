//! A histogram of a scrape.

/// Upper bounds as they grow, each with how many observations are not greater.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Vec<(f64, usize)>,
}

impl Histogram {
    /// That of `name` in a scrape, which has one series.
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

    /// What came since.
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

    /// The least bound that so many percent of all are not greater than.
    pub fn bound(&self, percent: usize) -> f64 {
        let enough = |count: usize| count * 100 >= percent * self.count();
        let reached = self.buckets.iter().find(|(_, count)| enough(*count));
        reached.map_or(f64::INFINITY, |(bound, _)| *bound)
    }
}
