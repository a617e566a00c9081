//! A realistic data set for trying Reckon without data of your own: the searches and purchases of some thousands of
//! invented people in 2025.
//!
//! The data set must remain a pure function of the user's id: no clock, no environment, no random source. Examples in
//! the README and measurements depend on it, so a change of the data is a change for users.

mod calendar;
mod catalogue;
mod dice;
pub mod load;
mod taste;
#[cfg(test)]
mod tests;
mod words;

use std::ops::RangeInclusive;

use catalogue::Category;
use dice::Dice;
use taste::Taste;
use words::Wish;

/// The ids of the demo users.
pub const USERS: RangeInclusive<i64> = 1..=4703;

/// Users shown in the documentation: regular customers, so that their results have content.
const SHOWN: RangeInclusive<i64> = 1..=3;

/// Chosen so that the users in [`SHOWN`] differ from each other and have both kinds of categories in their results.
const SEED: u64 = 58_995;

/// One event of the demo data: a row of `searches` or of `purchase`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The user of the event: `id` in both tables.
    pub user_id: i64,
    /// The search string, or the product's name; never empty.
    pub text: String,
    /// The time, as `YYYY-MM-DD HH:MM:SS`, always in 2025; sorts as text.
    pub at: String,
    /// The category; `None` or empty for the few rows whose category was not recorded.
    pub category: Option<&'static str>,
    /// False for a search without results and a failed purchase.
    pub success: bool,
}

/// The searches and the purchases of one demo user, each oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// Their rows of `searches`.
    pub searches: Vec<Event>,
    /// Their rows of `purchase`.
    pub purchases: Vec<Event>,
}

/// The events of one demo user: always the same ones. An id outside [`USERS`], and about one user in twenty, has none.
#[must_use]
pub fn person(user_id: i64) -> Person {
    if !USERS.contains(&user_id) {
        return Person::default();
    }
    let mut dice = Dice::new((SEED << 32) | user_id.unsigned_abs());
    let taste = if SHOWN.contains(&user_id) {
        Taste::of_a_regular(&mut dice)
    } else {
        Taste::of_anyone(&mut dice)
    };
    let mut diary = Diary {
        user_id,
        dice,
        person: Person::default(),
    };
    for _ in 0..taste.occasions {
        diary.occasion(&taste);
    }
    diary.close()
}

/// The history of one person while it is generated.
struct Diary {
    user_id: i64,
    dice: Dice,
    person: Person,
}

impl Diary {
    /// One visit to the shop: mostly for a favourite, sometimes out of curiosity or on an impulse.
    fn occasion(&mut self, taste: &Taste) {
        match self.dice.below(100) {
            0..16 if taste.searches => self.look(),
            16..22 if taste.buys_percent > 0 => self.grab(),
            _ => self.shop(taste),
        }
    }

    /// The person searches for one thing, in different words each time, and buys it then or some days later, or not at all.
    fn shop(&mut self, taste: &Taste) {
        let category = taste.favourite(&mut self.dice);
        let wish = Wish::of(&mut self.dice, category);
        let mut now = calendar::moment(&mut self.dice, category.season);
        if taste.searches {
            let first = self.dice.weighted(&[60, 20, 20]);
            let last = first + self.dice.weighted(&[30, 28, 20, 12, 6, 4]);
            for attempt in first..=last {
                self.search(now, &wish, attempt);
                now = self.next(now, 15, 1);
            }
        }
        if self.dice.percent(taste.buys_percent) {
            let days = self.dice.between(1, 9);
            now = self.next(now, 35, days);
            self.buy(now, &wish);
        }
    }

    /// The person searches for something, once.
    fn look(&mut self) {
        let (now, wish) = self.whim();
        let attempt = self.dice.below(6);
        self.search(now, &wish, attempt);
    }

    /// The person buys something without a search.
    fn grab(&mut self) {
        let (now, wish) = self.whim();
        self.buy(now, &wish);
    }

    /// Something unrelated to the person's taste, and the time of the idea.
    fn whim(&mut self) -> (usize, Wish) {
        let category = taste::anything(&mut self.dice);
        let now = calendar::moment(&mut self.dice, category.season);
        (now, Wish::of(&mut self.dice, category))
    }

    /// The time of the event after `now`: `days` days later in `percent` of a hundred cases, otherwise some minutes
    /// later.
    fn next(&mut self, now: usize, percent: usize, days: usize) -> usize {
        if self.dice.percent(percent) {
            calendar::later(&mut self.dice, now, days)
        } else {
            now + self.dice.between(20, 400)
        }
    }

    /// Records a search. Three in a hundred are misspelt: those have no results, and half of them have no category.
    fn search(&mut self, second: usize, wish: &Wish, attempt: usize) {
        let words = wish.search(&mut self.dice, attempt);
        let event = if self.dice.percent(3) {
            let category = self.dice.percent(50).then_some(wish.category.name);
            let words = words::misspelt(&mut self.dice, &words);
            self.event(second, words, category, false)
        } else {
            let category = self.recorded(wish.category);
            self.event(second, words, category, true)
        };
        self.person.searches.extend(event);
    }

    /// Records a purchase. Two in a hundred fail.
    fn buy(&mut self, second: usize, wish: &Wish) {
        let name = wish.product(&mut self.dice);
        let category = self.recorded(wish.category);
        let success = !self.dice.percent(2);
        let event = self.event(second, name, category, success);
        self.person.purchases.extend(event);
    }

    /// The category as recorded: one in a hundred is missing, half of those as an empty string.
    fn recorded(&mut self, category: &Category) -> Option<&'static str> {
        match self.dice.below(200) {
            0 => None,
            1 => Some(""),
            _ => Some(category.name),
        }
    }

    /// An event of this person; `None` if it would be after the end of the year.
    fn event(
        &self,
        second: usize,
        text: String,
        category: Option<&'static str>,
        success: bool,
    ) -> Option<Event> {
        Some(Event {
            user_id: self.user_id,
            text,
            at: calendar::stamp(second)?,
            category,
            success,
        })
    }

    /// The history, oldest first.
    fn close(mut self) -> Person {
        // Stable, so that events of the same second keep their order.
        self.person.searches.sort_by(|a, b| a.at.cmp(&b.at));
        self.person.purchases.sort_by(|a, b| a.at.cmp(&b.at));
        self.person
    }
}
