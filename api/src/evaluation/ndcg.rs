//! NDCG: how many of the categories that were bought are recommended, and how far up.

use foldhash::HashSet;

/// NDCG of the first `length` of `recommended` (best first) for the categories that were bought: from 0 to 1. It is 1
/// if the bought categories fill the top of the list. A category at rank r (from 1) counts `1 / log2(r + 1)`.
pub(super) fn ndcg<'a>(
    recommended: impl IntoIterator<Item = &'a str>,
    bought: &HashSet<&str>,
    length: usize,
) -> f64 {
    let found = recommended.into_iter().take(length).zip(1..);
    let found = found.filter(|(category, _)| bought.contains(category));
    let gain: f64 = found.map(|(_, rank)| discount(rank)).sum();
    let ideal: f64 = (1..).take(length.min(bought.len())).map(discount).sum();
    if ideal > 0.0 { gain / ideal } else { 0.0 }
}

fn discount(rank: u32) -> f64 {
    1.0 / f64::from(rank + 1).log2()
}

#[cfg(test)]
mod tests {
    use super::ndcg;

    #[test]
    fn ndcg_equals_a_manual_calculation() {
        let bought = ["a", "b", "c"].into_iter().collect();
        let close = |recommended: &[&str], length, expected: f64| {
            let value = ndcg(recommended.iter().copied(), &bought, length);
            assert!((value - expected).abs() < 1e-12, "{recommended:?}: {value}");
        };
        let third = 1.0 / 4_f64.log2();
        let second = 1.0 / 3_f64.log2();
        close(&["c", "a", "b"], 10, 1.0);
        close(&["c", "a", "b"], 2, 1.0);
        close(&["x", "a"], 2, second / (1.0 + second));
        close(&["b", "x", "a"], 10, (1.0 + third) / (1.0 + second + third));
        close(&[], 10, 0.0);
        let nothing = ndcg(["a"], &["a"; 0].into_iter().collect(), 10);
        assert!(nothing.abs() < 1e-12);
    }
}
