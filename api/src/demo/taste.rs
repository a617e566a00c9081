//! A person's preferences and shopping habits.

use super::catalogue::{CATEGORIES, Category, Lifestyle};
use super::dice::Dice;

/// The additional weight of a category for a person whose lifestyle it belongs to.
const AFFINITY: usize = 14;
/// The weight of a favourite, by rank: Zipf's law, scaled to sixty.
const RANKS: [usize; 12] = [60, 30, 20, 15, 12, 10, 9, 8, 7, 6, 5, 5];

/// A person's preferences and shopping habits.
pub(super) struct Taste {
    /// The person's favourite categories, the strongest first.
    favourites: Vec<usize>,
    /// Visits to the shop in the year; 0 for a person who only has an account.
    pub(super) occasions: usize,
    /// Whether the person searches in the shop; a few people buy only from a list or a link.
    pub(super) searches: bool,
    /// How many of a hundred searches end in a purchase; 0 for a person who never buys.
    pub(super) buys_percent: usize,
}

impl Taste {
    /// The taste of a typical regular: a person with enough history for the documentation.
    pub(super) fn of_a_regular(dice: &mut Dice) -> Self {
        let occasions = dice.between(22, 34);
        Self {
            favourites: favourites(dice, occasions),
            occasions,
            searches: true,
            buys_percent: 50,
        }
    }

    /// The taste of a random person.
    pub(super) fn of_anyone(dice: &mut Dice) -> Self {
        let occasions = occasions(dice);
        let (searches, buys_percent) = match dice.below(100) {
            0..12 => (true, 0),
            12..15 => (false, 100),
            _ => (true, dice.between(20, 95)),
        };
        Self {
            favourites: favourites(dice, occasions),
            occasions,
            searches,
            buys_percent,
        }
    }

    /// One of the favourites, the strongest most often.
    pub(super) fn favourite(&self, dice: &mut Dice) -> &'static Category {
        let rank = dice.weighted(&RANKS[..self.favourites.len()]);
        &CATEGORIES[self.favourites[rank]]
    }
}

/// Any category, the popular ones more often.
pub(super) fn anything(dice: &mut Dice) -> &'static Category {
    let weights: Vec<usize> = (0..CATEGORIES.len()).map(popularity).collect();
    &CATEGORIES[dice.weighted(&weights)]
}

/// The weight of the category of this rank for a person without a special interest in it: Zipf's law, flattened by 5 so that
/// the first category is not in every result.
fn popularity(rank: usize) -> usize {
    1_000 / (rank + 5)
}

/// The number of visits: none for five in a hundred people, up to five for half of the others, and more than a hundred
/// for one in twelve.
fn occasions(dice: &mut Dice) -> usize {
    if dice.percent(5) {
        return 0;
    }
    // The fifth power of a uniform draw: a long tail without floating point.
    let draw = dice.below(1_000);
    1 + (0..5).fold(150_000, |tail, _| tail * draw / 1_000) / 1_000
}

/// Favourites that follow one or two lifestyles; frequent visitors have more of them.
fn favourites(dice: &mut Dice, occasions: usize) -> Vec<usize> {
    let first = dice.pick(Lifestyle::ALL);
    let second = dice.percent(40).then(|| dice.pick(Lifestyle::ALL));
    let suits = |category: &Category| {
        let fits = |lifestyle| category.lifestyles.contains(&lifestyle);
        fits(first) || second.is_some_and(fits)
    };
    let mut weights: Vec<usize> = CATEGORIES
        .iter()
        .enumerate()
        .map(|(rank, category)| popularity(rank) * if suits(category) { AFFINITY } else { 1 })
        .collect();
    let count = (dice.between(2, 5) + occasions / 12).min(RANKS.len());
    (0..count)
        .map(|_| {
            let chosen = dice.weighted(&weights);
            weights[chosen] = 0;
            chosen
        })
        .collect()
}
