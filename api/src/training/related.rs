//! Finds categories that are bought by the same users, with EASE.
//!
//! For X = users x categories (1 if bought) and P = (X'X + 500 I)^-1, the weight from category i to category j is
//! `-P[i][j] / P[j][j]`.

use super::dataset::{Dataset, older};
use super::distinct::Distinct;
use super::inverse::inverse;
use super::threads::in_threads;
use crate::model::Day;
use crate::trained::MAX_RELATED;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Strength of the regularization.
const LAMBDA: f64 = 500.0;
/// Weights below this absolute value are dropped: they do not change the order, but make the document larger.
const MIN_WEIGHT: f64 = 1e-6;
/// Number of users that a thread counts at a time.
const BATCH: usize = 1000;

/// For each of `chosen` (numbers, ascending): the weights to the others, each with the position in `chosen`, ordered by
/// position. Only the 100 weights with the greatest absolute values are kept. None if rounding makes the matrix
/// singular.
pub(super) fn related(data: &Dataset, as_of: Day, chosen: &[u32]) -> Option<Vec<Vec<(u32, f32)>>> {
    let size = chosen.len();
    let inverse = inverse(gram(data, as_of, chosen), size)?;
    let row = |from: usize| {
        let row = &inverse[from * size..(from + 1) * size];
        let weight = |to: usize| -row[to] / inverse[to * size + to];
        let mut weights: Vec<(u32, f64)> = (0..)
            .zip((0..size).map(weight))
            .filter(|&(to, weight)| to as usize != from && weight.abs() >= MIN_WEIGHT)
            .collect();
        weights.sort_unstable_by(|left, right| {
            let by_weight = right.1.abs().total_cmp(&left.1.abs());
            by_weight.then(left.0.cmp(&right.0))
        });
        weights.truncate(MAX_RELATED);
        weights.sort_unstable_by_key(|(to, _)| *to);
        #[expect(clippy::cast_possible_truncation, reason = "the document's precision")]
        let short = weights.into_iter().map(|(to, weight)| (to, weight as f32));
        short.collect()
    };
    Some((0..size).map(row).collect())
}

/// X'X + lambda I, row by row.
fn gram(data: &Dataset, as_of: Day, chosen: &[u32]) -> Vec<f64> {
    let size = chosen.len();
    let mut positions = vec![None; data.names().len()];
    for (position, number) in chosen.iter().enumerate() {
        positions[*number as usize] = Some(position);
    }
    let next = AtomicUsize::new(0);
    let counted = in_threads(|| count(data, as_of, &positions, size, &next));
    let mut gram = vec![0.0; size * size];
    for row in 0..size {
        for column in 0..=row {
            let cell = row * size + column;
            // The summands are whole numbers, so the sum does not depend on their order, nor on the threads.
            let both: f64 = counted.iter().map(|counts| f64::from(counts[cell])).sum();
            gram[cell] = both;
            gram[column * size + row] = both;
        }
        gram[row * size + row] += LAMBDA;
    }
    gram
}

/// For each pair of positions (the greater one first), the number of users who bought both categories, counted over the
/// batches that `next` gives to this thread.
fn count(
    data: &Dataset,
    as_of: Day,
    positions: &[Option<usize>],
    size: usize,
    next: &AtomicUsize,
) -> Vec<u32> {
    let mut counts = vec![0_u32; size * size];
    let mut distinct = Distinct::new(positions.len());
    let mut own = Vec::new();
    loop {
        let start = next.fetch_add(BATCH, Ordering::Relaxed);
        if start >= data.len() {
            return counts;
        }
        for position in start..data.len().min(start + BATCH) {
            let rows = older(data.user(position).purchases, as_of);
            let categories = distinct.of(rows).iter();
            own.clear();
            own.extend(categories.filter_map(|&category| positions[category as usize]));
            own.sort_unstable();
            for (index, &row) in own.iter().enumerate() {
                let counts = &mut counts[row * size..(row + 1) * size];
                for &column in &own[..=index] {
                    counts[column] += 1;
                }
            }
        }
    }
}
