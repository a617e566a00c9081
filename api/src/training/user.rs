//! Users as numbers, which a training uses instead of ids.

use crate::model::UserId;
use xxhash_rust::xxh3::xxh3_64;

/// The number of a user. The number of an integer is the integer itself. Ids above the greatest `i64` become negative,
/// as with `CAST(id AS SIGNED)`.
#[must_use]
pub fn number(user: &UserId) -> i64 {
    match user {
        UserId::Integer(id) => *id,
        UserId::Unsigned(id) => id.cast_signed(),
        UserId::Text(id) => number_of_text(id.as_bytes()),
    }
}

/// The number of a user with this text as id: its hash (XXH3, 64 bits), the same in every version and on every machine.
///
/// Two users with the same hash count as one. The probability that any two of n users have the same hash is about n^2 / 2^65:
/// 1 in 37 million for a million users, 1 in 3,700 for 100 million.
#[must_use]
pub fn number_of_text(id: &[u8]) -> i64 {
    xxh3_64(id).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::number;
    use crate::model::UserId;
    use reckon_contract::tables::UserIdType;

    #[test]
    fn numbers_of_users_never_change() {
        let number = |text, kind| number(&UserId::parse(text, kind).unwrap());
        assert_eq!(number("-7", UserIdType::Integer), -7);
        assert_eq!(number("18446744073709551615", UserIdType::Integer), -1);
        let text = |id| number(id, UserIdType::Text);
        assert_eq!(text("7"), 499_566_431_179_015_674);
        let others = ["7", "07", "7 ", " 7", "a", "A", "\u{e9}", "e\u{301}"].map(text);
        let distinct: std::collections::BTreeSet<_> = others.into_iter().collect();
        assert_eq!(distinct.len(), others.len());
    }
}
