//! How many baskets contain each category. A basket is what one user buys on one day.

use super::dataset::{Dataset, by_day, newer, older};
use super::distinct::Distinct;
use crate::model::Day;

/// Number of days whose baskets count.
const DAYS: i32 = 60;

/// For each category, by number: of the baskets of the 60 days before `as_of`, the part that contains the category. A
/// basket may consist of rows without a category.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn shares(data: &Dataset, as_of: Day) -> Vec<f64> {
    let (counts, baskets) = count(data, Some(Day(as_of.0 - DAYS)), as_of);
    let share = |count: u64| count as f64 / baskets.max(1) as f64;
    counts.into_iter().map(share).collect()
}

/// The numbers of the categories that are in the most baskets before `as_of`: at most `limit`, ascending.
pub(super) fn most_bought(data: &Dataset, as_of: Day, limit: usize) -> Vec<u32> {
    let (counts, _) = count(data, None, as_of);
    let bought = (0..).zip(counts).filter(|(_, count)| *count > 0);
    let mut bought: Vec<(u32, u64)> = bought.collect();
    bought.sort_unstable_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    bought.truncate(limit);
    let mut numbers: Vec<u32> = bought.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    numbers
}

/// The number of baskets that contain each category, and of all.
fn count(data: &Dataset, from: Option<Day>, until: Day) -> (Vec<u64>, u64) {
    let mut counts = vec![0; data.names().len()];
    let mut distinct = Distinct::new(counts.len());
    let mut baskets = 0;
    for user in data.all() {
        let rows = older(user.purchases, until);
        let rows = from.map_or(rows, |from| newer(rows, from));
        for basket in by_day(rows) {
            baskets += 1;
            for &category in distinct.of(basket) {
                counts[category as usize] += 1;
            }
        }
    }
    (counts, baskets)
}
