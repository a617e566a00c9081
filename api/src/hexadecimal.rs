//! Numbers as hexadecimal digits, without an allocation: `format!` needs five times the instructions.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The 16 digits of `number`, with leading zeros.
pub(crate) fn hexadecimal(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    let (pairs, _) = digits.as_chunks_mut();
    for (pair, byte) in pairs.iter_mut().zip(number.to_be_bytes()) {
        *pair = [byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::hexadecimal;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn the_digits_equal_those_of_the_standard_library(number in any::<u64>()) {
            let digits = String::from_utf8(hexadecimal(number).to_vec()).unwrap();
            prop_assert_eq!(digits, format!("{number:016x}"));
        }
    }
}
