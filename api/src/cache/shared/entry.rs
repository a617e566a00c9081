//! An entry as bytes in Redis: a header of fixed width, which the scripts read too, then the body.
//!
//! ```text
//! offset 0   form, `2`
//!        1   epoch, 16 characters
//!        17  stale time in milliseconds, 10 digits
//!        27  total time in milliseconds, 10 digits
//!        37  tag of the trained model that the body was computed with, 16 hexadecimal digits
//!        53  XXH3 of what stands before, the user and the body, 16 hexadecimal digits
//!        69  body
//! ```
//! The entry's age is its total time minus its remaining time in Redis: no writer's clock is involved.

use crate::hexadecimal::hexadecimal;
use crate::model::UserId;
use bytes::Bytes;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// Characters of an epoch or of a lease's token.
pub const TOKEN_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 69;
const MODEL: usize = 37;
const CHECKSUM: usize = 53;
/// Changes with the format; the names of keys contain it too.
pub(super) const FORM: u8 = b'2';

/// A result, and its remaining times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The JSON.
    pub body: Bytes,
    /// Tag of the trained model with which the result was computed.
    pub model: u64,
    /// Remaining time in which the result may be served as fresh; zero when it is stale.
    pub fresh: Duration,
    /// Remaining time in which the result may be served, fresh or stale.
    pub total: Duration,
}

/// Why bytes are not a current entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The entry is older than an invalidation of everything.
    OtherEpoch,
    /// Damaged, or not written by us.
    Unreadable,
}

/// A random token for a lease.
#[must_use]
pub fn token() -> String {
    let token = format!("{:016x}", fastrand::u64(..));
    debug_assert_eq!(token.len(), TOKEN_LENGTH);
    token
}

/// The tag of a model as an entry holds it.
pub(super) fn tag(model: u64) -> String {
    format!("{model:016x}")
}

/// The bytes of an entry.
#[must_use]
pub fn encode(
    user: &UserId,
    epoch: &str,
    (body, model): (&[u8], u64),
    fresh: Duration,
    stale: Duration,
) -> Vec<u8> {
    let (stale, total) = (stale.as_millis(), (fresh + stale).as_millis());
    let header = format!(
        "{}{epoch}{stale:010}{total:010}{}",
        char::from(FORM),
        tag(model)
    );
    debug_assert_eq!(header.len(), CHECKSUM);
    let checksum = checksum(header.as_bytes(), user, body);
    [header.as_bytes(), &checksum, body].concat()
}

/// Decodes the entry of `user`; `left` is its remaining time in Redis.
///
/// # Errors
/// The bytes are not an entry, or belong to another epoch.
pub fn decode(
    bytes: &Bytes,
    user: &UserId,
    epoch: &str,
    left: Duration,
) -> Result<Found, DecodeError> {
    let header = bytes
        .get(..HEADER_LENGTH)
        .and_then(|header| str::from_utf8(header).ok());
    let header = header
        .filter(|header| header.as_bytes()[0] == FORM)
        .ok_or(DecodeError::Unreadable)?;
    let field = |from: usize, to: usize| header.get(from..to).ok_or(DecodeError::Unreadable);
    let stale = milliseconds(field(17, 27)?)?;
    let total = milliseconds(field(27, MODEL)?)?;
    let written = field(MODEL, CHECKSUM)?;
    let model = u64::from_str_radix(written, 16).map_err(|_| DecodeError::Unreadable)?;
    // Only lower-case digits are valid: upper-case ones would be a second form of the same entry.
    if hexadecimal(model) != written.as_bytes() {
        return Err(DecodeError::Unreadable);
    }
    let body = bytes.slice(HEADER_LENGTH..);
    let expected = checksum(&header.as_bytes()[..CHECKSUM], user, &body);
    // More time is left than the entry's total: another program has set the expiry.
    if header.as_bytes()[CHECKSUM..] != expected || left > total || stale > total {
        return Err(DecodeError::Unreadable);
    }
    if field(1, 17)? != epoch {
        return Err(DecodeError::OtherEpoch);
    }
    Ok(Found {
        body,
        model,
        fresh: left.saturating_sub(stale),
        total: left,
    })
}

/// Milliseconds from digits only: `parse` would accept a sign too.
fn milliseconds(text: &str) -> Result<Duration, DecodeError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number
        .map(Duration::from_millis)
        .ok_or(DecodeError::Unreadable)
}

fn checksum(header: &[u8], user: &UserId, body: &[u8]) -> [u8; 16] {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    match user {
        UserId::Integer(id) => hasher.update(&id.to_le_bytes()),
        UserId::Unsigned(id) => hasher.update(&id.to_le_bytes()),
        UserId::Text(id) => hasher.update(id.as_bytes()),
    }
    hasher.update(body);
    hexadecimal(hasher.digest())
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, Found, HEADER_LENGTH, checksum, decode, encode};
    use crate::model::UserId;
    use bytes::Bytes;
    use std::time::Duration;

    const USER: UserId = UserId::Integer(1);
    const EPOCH: &str = "0123456789abcdef";
    const MODEL: u64 = 0xfeed;

    fn entry() -> Vec<u8> {
        encode(
            &USER,
            EPOCH,
            (b"{}", MODEL),
            Duration::from_secs(10),
            Duration::from_secs(5),
        )
    }

    #[test]
    fn an_entry_reads_back_with_its_remaining_lifetime() {
        let found = decode(&entry().into(), &USER, EPOCH, Duration::from_secs(12)).unwrap();
        let expected = Found {
            body: Bytes::from_static(b"{}"),
            model: MODEL,
            fresh: Duration::from_secs(7),
            total: Duration::from_secs(12),
        };
        assert_eq!(found, expected);
        let aged = decode(&entry().into(), &USER, EPOCH, Duration::from_secs(4)).unwrap();
        assert_eq!(aged.fresh, Duration::ZERO);
        // The read is in the same millisecond as the write.
        let new = decode(&entry().into(), &USER, EPOCH, Duration::from_secs(15)).unwrap();
        assert_eq!(new.fresh, Duration::from_secs(10));
        // An entry that is never fresh: the stale time is all of its lifetime.
        let stale = encode(
            &USER,
            EPOCH,
            (b"{}", MODEL),
            Duration::ZERO,
            Duration::from_secs(5),
        );
        let found = decode(&stale.into(), &USER, EPOCH, Duration::from_secs(5)).unwrap();
        assert_eq!(
            (found.fresh, found.total),
            (Duration::ZERO, Duration::from_secs(5))
        );
    }

    #[test]
    fn an_entry_of_another_epoch_is_rejected() {
        let refused = decode(
            &entry().into(),
            &USER,
            "fedcba9876543210",
            Duration::from_secs(12),
        );
        assert_eq!(refused, Err(DecodeError::OtherEpoch));
    }

    #[test]
    fn an_entry_of_another_user_or_with_too_long_a_lifetime_is_rejected() {
        for (user, left) in [(UserId::Integer(2), 12), (USER, 16)] {
            let refused = decode(&entry().into(), &user, EPOCH, Duration::from_secs(left));
            assert_eq!(refused, Err(DecodeError::Unreadable));
        }
    }

    #[test]
    fn invalid_bytes_are_rejected_whatever_their_checksum() {
        for times in [
            // An entry with a sign instead of a digit is invalid.
            "+0000050000000015000",
            // An entry whose stale time exceeds the total time is invalid.
            "00000150000000005000",
        ] {
            let header = format!("2{EPOCH}{times}000000000000feed");
            let checksum = checksum(header.as_bytes(), &USER, b"{}");
            let written = [header.as_bytes(), &checksum, b"{}"].concat();
            let decoded = decode(&written.into(), &USER, EPOCH, Duration::from_secs(1));
            assert_eq!(decoded, Err(DecodeError::Unreadable), "{times}");
        }
        let mut capitals = entry();
        capitals[53..69].make_ascii_uppercase();
        assert_ne!(capitals, entry());
        let decoded = decode(&capitals.into(), &USER, EPOCH, Duration::from_secs(1));
        assert_eq!(decoded, Err(DecodeError::Unreadable));
    }

    #[test]
    fn a_damaged_or_truncated_entry_is_unreadable() {
        for position in 0..entry().len() {
            let mut damaged = entry();
            damaged[position] ^= 1;
            assert_eq!(
                decode(&damaged.into(), &USER, EPOCH, Duration::from_secs(1)),
                Err(DecodeError::Unreadable),
                "{position}"
            );
        }
        for length in 0..HEADER_LENGTH {
            let cut = Bytes::from(entry()).slice(..length);
            assert_eq!(
                decode(&cut, &USER, EPOCH, Duration::from_secs(1)),
                Err(DecodeError::Unreadable),
                "{length}"
            );
        }
        assert_eq!(
            decode(
                &Bytes::from_static(&[0xff; 80]),
                &USER,
                EPOCH,
                Duration::ZERO
            ),
            Err(DecodeError::Unreadable)
        );
    }
}
