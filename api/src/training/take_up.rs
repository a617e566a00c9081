//! How many users recently began to buy each category.

use super::dataset::{Dataset, newer, older};
use super::distinct::Distinct;
use crate::model::Day;

/// Number of days that are recent.
const RECENT: i32 = 30;
/// Number of days before these in which a user must not have bought the category.
const BEFORE: i32 = 60;
/// Number of users with the mean of all categories that are added to each category, because a part of few users is
/// inaccurate.
const SHRINKAGE: f64 = 20.0;

/// For each category, by number: of the users with a purchase in the last 30 days who had not bought it in the 60 days
/// before, the part who bought it in these 30 days.
pub(super) fn take_up(data: &Dataset, as_of: Day) -> Vec<f64> {
    let recent = Day(as_of.0 - RECENT);
    let before = Day(recent.0 - BEFORE);
    let count = data.names().len();
    let (mut began, mut had) = (vec![0_u32; count], vec![0_u32; count]);
    let (mut now, mut earlier) = (Distinct::new(count), Distinct::new(count));
    let mut active = 0;
    // A sample also has names of categories that only the users outside it bought.
    let mut occurs = vec![false; count];
    for user in data.all() {
        for rows in [user.purchases, user.searches] {
            for &category in now.of(rows) {
                occurs[category as usize] = true;
            }
        }
        let rows = older(user.purchases, as_of);
        let recent_rows = newer(rows, recent);
        if recent_rows.is_empty() {
            continue;
        }
        active += 1;
        for &category in earlier.of(newer(older(rows, recent), before)) {
            had[category as usize] += 1;
        }
        for &category in now.of(recent_rows) {
            began[category as usize] += u32::from(!earlier.contains(category));
        }
    }
    shrunk(&began, &had, &occurs, active)
}

/// The mean is computed over the categories that occur.
fn shrunk(began: &[u32], had: &[u32], occurs: &[bool], active: u32) -> Vec<f64> {
    let could = |had: &u32| f64::from(active - had);
    let occurring = had.iter().zip(occurs).filter(|(_, occurs)| **occurs);
    let all: f64 = occurring.map(|(had, _)| could(had)).sum();
    let began_all: f64 = began.iter().map(|&began| f64::from(began)).sum();
    let mean = if all > 0.0 { began_all / all } else { 0.0 };
    let one = |(began, had)| (f64::from(began) + SHRINKAGE * mean) / (could(had) + SHRINKAGE);
    began.iter().copied().zip(had).map(one).collect()
}
