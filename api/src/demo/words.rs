//! How an item of the catalogue is written: by someone who searches for it, and on the bill.

use super::catalogue::Category;
use super::dice::Dice;

/// Words that stay small in a product's name.
const SMALL: [&str; 6] = ["for", "with", "and", "of", "over", "in"];

/// What someone has in mind: an item and what matters to them about it.
pub(super) struct Wish {
    /// Where the item is found.
    pub(super) category: &'static Category,
    item: &'static str,
    detail: &'static str,
    purpose: &'static str,
}

impl Wish {
    /// Something of `category`.
    pub(super) fn of(dice: &mut Dice, category: &'static Category) -> Self {
        Self {
            category,
            item: dice.pick(category.items),
            detail: dice.pick(category.details),
            purpose: dice.pick(category.wishes),
        }
    }

    /// What they type at the `attempt`-th attempt, other words each of six times.
    pub(super) fn search(&self, dice: &mut Dice, attempt: usize) -> String {
        let Self {
            item,
            detail,
            purpose,
            ..
        } = self;
        let words = match attempt % 6 {
            0 => (*item).to_owned(),
            1 => format!("{item} {purpose}"),
            2 => format!("{detail} {item}"),
            3 => format!("{detail} {item} {purpose}"),
            4 => format!("{item} {}", dice.pick(&["sale", "reviews", "comparison"])),
            _ => format!("best {item}"),
        };
        words.to_lowercase()
    }

    /// The name of the product that fulfils it.
    pub(super) fn product(&self, dice: &mut Dice) -> String {
        let option = dice.pick(self.category.options);
        let name = if dice.percent(50) {
            title(self.item)
        } else {
            title(&format!("{} {}", self.detail, self.item))
        };
        if dice.percent(40) {
            format!("{name}, {option}")
        } else {
            name
        }
    }
}

/// `words` with a letter missing, as fast fingers leave them; a blank is never missing.
pub(super) fn misspelt(dice: &mut Dice, words: &str) -> String {
    let slip = dice.between(1, words.len() - 2);
    let typed = |(index, letter)| (index != slip || letter == ' ').then_some(letter);
    words.char_indices().filter_map(typed).collect()
}

/// `words` with a capital at each word but the small ones.
fn title(words: &str) -> String {
    let mut title = String::with_capacity(words.len());
    for word in words.split(' ') {
        if !title.is_empty() {
            title.push(' ');
        }
        if SMALL.contains(&word) {
            title.push_str(word);
        } else {
            let (first, rest) = word.split_at(word.len().min(1));
            title.push_str(&first.to_uppercase());
            title.push_str(rest);
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use super::title;

    #[test]
    fn a_title_keeps_small_words_small_and_abbreviations_as_they_are() {
        assert_eq!(
            title("detective story for kids"),
            "Detective Story for Kids"
        );
        assert_eq!(title("fast USB-C cable"), "Fast USB-C Cable");
    }
}
