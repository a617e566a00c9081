//! What a person likes and how they shop.

use super::catalogue::{CATEGORIES, Category, Lifestyle};
use super::dice::Dice;

/// How much more a category weighs with someone whose way of life it belongs to.
const AFFINITY: usize = 14;
/// How much a favourite weighs, by rank: Zipf's law, on sixty.
const RANKS: [usize; 12] = [60, 30, 20, 15, 12, 10, 9, 8, 7, 6, 5, 5];

/// What one person likes and how they shop.
pub(super) struct Taste {
    /// Categories they come back to, the dearest first.
    favourites: Vec<usize>,
    /// Occasions in the year on which they come to the shop; 0 for someone who only has an account.
    pub(super) occasions: usize,
    /// Whether the shop sees them search; a few buy from a list or a link only.
    pub(super) searches: bool,
    /// How many of a hundred searches end in a purchase; 0 for someone who only looks.
    pub(super) buys_percent: usize,
}

impl Taste {
    /// The taste of a typical regular: someone with enough history to be worth showing.
    pub(super) fn of_a_regular(dice: &mut Dice) -> Self {
        let occasions = dice.between(22, 34);
        Self {
            favourites: favourites(dice, occasions),
            occasions,
            searches: true,
            buys_percent: 50,
        }
    }

    /// The taste of someone from the street.
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

    /// One of their favourites, the dearest most often.
    pub(super) fn favourite(&self, dice: &mut Dice) -> &'static Category {
        let rank = dice.weighted(&RANKS[..self.favourites.len()]);
        &CATEGORIES[self.favourites[rank]]
    }
}

/// Some category, the popular ones more often.
pub(super) fn anything(dice: &mut Dice) -> &'static Category {
    let weights: Vec<usize> = (0..CATEGORIES.len()).map(popularity).collect();
    &CATEGORIES[dice.weighted(&weights)]
}

/// What the category of this rank weighs with someone who does not care for it especially: Zipf's law, softened by 5 so that the
/// first is not in every answer.
fn popularity(rank: usize) -> usize {
    1_000 / (rank + 5)
}

/// Five in a hundred have no occasion; half of the others up to five; one in twelve more than a hundred.
fn occasions(dice: &mut Dice) -> usize {
    if dice.percent(5) {
        return 0;
    }
    // The fifth power of an even draw: a long tail without floating point.
    let draw = dice.below(1_000);
    1 + (0..5).fold(150_000, |tail, _| tail * draw / 1_000) / 1_000
}

/// Favourites after one or two ways of life; who comes often has more of them.
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
