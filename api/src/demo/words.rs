//! Writes an item of the catalogue: as a search string, and as a product's name.

use super::catalogue::Category;
use super::dice::Dice;

/// Words that stay in lower case in a product's name.
const SMALL: [&str; 6] = ["for", "with", "and", "of", "over", "in"];

/// A person's wish: an item and its important properties.
pub(super) struct Wish {
    /// The category of the item.
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

    /// The search string of the `attempt`-th attempt. There are six different strings, which then repeat.
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

    /// The name of the product that fulfils the wish.
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

/// `words` without one letter, like a typing error; spaces are never removed.
pub(super) fn misspelt(dice: &mut Dice, words: &str) -> String {
    let slip = dice.between(1, words.len() - 2);
    let typed = |(index, letter)| (index != slip || letter == ' ').then_some(letter);
    words.char_indices().filter_map(typed).collect()
}

/// `words` with a capital letter at each word except the small ones.
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
