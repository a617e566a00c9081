//! Generates the passwords of accounts.

/// Number of random bytes for a password.
pub const RANDOM_BYTES: usize = 32;

/// 64 characters, so that 6 bits of a byte choose one evenly.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A password of 192 random bits. `random` must come from the operating system.
///
/// The end is always the same, so that the password has a character of each kind that servers' policies require. No
/// character needs quoting.
#[must_use]
pub fn generate_password(random: [u8; RANDOM_BYTES]) -> String {
    let letters = random
        .iter()
        .map(|byte| char::from(ALPHABET[usize::from(byte % 64)]));
    letters.chain("-Aa1".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::{ALPHABET, generate_password};

    #[test]
    fn each_random_byte_makes_a_character() {
        let random = std::array::from_fn(|n| u8::try_from(n * 8).unwrap());
        let password = generate_password(random);
        assert_eq!(password, "AIQYgow4AIQYgow4AIQYgow4AIQYgow4-Aa1");
    }

    #[test]
    fn no_character_needs_quoting() {
        assert!(
            ALPHABET
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        );
    }
}
