//! Creates metrics and registers them in one call.

use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::{Metric, Registry};

type Labels<const L: usize> = [(&'static str, &'static str); L];

/// A metric that may be one of several that differ in their labels.
pub trait Series: Metric + TypedMetric + Default + Clone {}

impl<M: Metric + TypedMetric + Default + Clone> Series for M {}

/// Registration that returns what it has registered.
pub trait Register {
    /// Registers `metric` and returns it.
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M;

    /// Registers one metric for each of `values` of `label`, and returns them in that order. All of them are exposed from the
    /// beginning: without the zero before the first event, a rate misses that event.
    fn add_labelled<M: Series, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [M; N];

    /// The same for several labels: one metric for each of `values`, which are one value for each of `labels`.
    fn add_with_labels<M: Series, const L: usize, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; L],
        values: [[&'static str; L]; N],
    ) -> [M; N];
}

impl Register for Registry {
    fn add<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.register(name, help, metric.clone());
        metric
    }

    fn add_labelled<M: Series, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: [&'static str; N],
    ) -> [M; N] {
        self.add_with_labels(name, help, [label], values.map(|value| [value]))
    }

    fn add_with_labels<M: Series, const L: usize, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&'static str; L],
        values: [[&'static str; L]; N],
    ) -> [M; N] {
        let family = self.add(name, help, Family::<Labels<L>, M>::default());
        values.map(|values| {
            let set = std::array::from_fn(|label| (labels[label], values[label]));
            family.get_or_create_owned(&set)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Register as _;
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
    use prometheus_client::registry::Registry;

    #[test]
    fn a_registered_metric_is_exposed_at_once_and_counts() {
        let mut registry = Registry::default();
        let gauge: Gauge = registry.add("size", "A size", Gauge::default());
        let [_, wrong] =
            registry.add_labelled::<Counter, 2>("ends", "Ends", "result", ["right", "wrong"]);
        let [pair] = registry.add_with_labels::<Counter, 2, 1>(
            "pairs",
            "Pairs",
            ["one", "other"],
            [["a", "b"]],
        );
        gauge.set(3);
        wrong.inc();
        pair.inc_by(2);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "size 3\n",
            "ends_total{result=\"right\"} 0\n",
            "ends_total{result=\"wrong\"} 1\n",
            "pairs_total{one=\"a\",other=\"b\"} 2\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
