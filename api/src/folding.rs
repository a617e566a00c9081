//! Folding: categories that differ only in case, or in blanks at their ends, count as one.

/// The key under which categories count as one: Unicode lower case, without white space at the ends.
#[must_use]
pub fn key(category: &str) -> String {
    category.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn case_and_blanks_at_the_ends_do_not_matter() {
        for same in ["Getränke", " getränke", "GETRÄNKE\t", "\u{a0}GeTränke "] {
            assert_eq!(key(same), "getränke");
        }
        assert_ne!(key("soft drinks"), key("soft  drinks"));
        assert_ne!(key("cafe"), key("café"));
        assert_eq!(key(" \t\u{3000}"), "");
    }
}
