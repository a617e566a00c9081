//! The values that a text column can hold.

/// The values that a text column can hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// Maximum length.
    pub most: Option<Length>,
    /// Allowed characters.
    pub alphabet: Alphabet,
    /// Whether it accepts NULL; otherwise an empty field becomes an empty string.
    pub nullable: bool,
}

/// A length in one of two units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Bytes in UTF-8.
    Bytes(u64),
    /// Unicode code points.
    Characters(u64),
}

/// The characters that a string may contain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alphabet {
    /// All characters; also if only the server can check them.
    #[default]
    Any,
    /// Characters of at most three bytes in UTF-8.
    Utf8Mb3,
    /// The character set that MySQL calls latin1, which is Windows-1252.
    Latin1,
    /// ASCII.
    Ascii,
}

impl Alphabet {
    /// The first character of `text` that is not in this alphabet.
    #[must_use]
    pub fn first_unsupported(self, text: &str) -> Option<char> {
        if self == Self::Any || text.is_ascii() {
            return None;
        }
        text.chars().find(|&character| !self.has(character))
    }

    fn has(self, character: char) -> bool {
        // The characters of Windows-1252 in place of Latin-1's control characters.
        const WINDOWS: &str = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ";
        match self {
            Self::Any => true,
            Self::Utf8Mb3 => character.len_utf8() <= 3,
            Self::Latin1 => {
                character.is_ascii()
                    || ('\u{a0}'..='\u{ff}').contains(&character)
                    || WINDOWS.contains(character)
            }
            Self::Ascii => character.is_ascii(),
        }
    }

    /// Its name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Utf8Mb3 => "utf8mb3",
            Self::Latin1 => "latin1",
            Self::Ascii => "ascii",
        }
    }
}

/// The string as the column stores it. An empty string becomes NULL if the column accepts NULL.
///
/// # Errors
/// The string does not fit. The error is the expected form.
pub fn checked(text: &str, limits: Text) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok((!limits.nullable).then(String::new));
    }
    let (length, most, unit) = match limits.most {
        Some(Length::Bytes(most)) => (text.len() as u64, most, "byte"),
        // Characters are counted only if the text has more bytes than the maximum number of characters.
        Some(Length::Characters(most)) if text.len() as u64 > most => {
            (text.chars().count() as u64, most, "character")
        }
        _ => (0, 0, ""),
    };
    if length > most {
        return Err(format!(
            "at most {most} {unit}s (the length of the table's column), got {length}"
        ));
    }
    match limits.alphabet.first_unsupported(text) {
        Some(first_unsupported) => Err(format!(
            "characters of {} (the character set of the table's column), got {first_unsupported:?}",
            limits.alphabet.name()
        )),
        None => Ok(Some(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::Alphabet;

    #[test]
    fn each_character_set_has_its_characters() {
        assert_eq!(Alphabet::Latin1.first_unsupported("Bücher für 5 €"), None);
        assert_eq!(Alphabet::Latin1.first_unsupported("książka"), Some('ą'));
        assert_eq!(
            Alphabet::Utf8Mb3.first_unsupported("książka 🎁"),
            Some('🎁')
        );
        assert_eq!(Alphabet::Ascii.first_unsupported("Bücher"), Some('ü'));
        assert_eq!(Alphabet::Any.first_unsupported("🎁"), None);
    }
}
