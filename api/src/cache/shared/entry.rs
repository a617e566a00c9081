//! An answer as bytes in Redis: a header of fixed width, which the scripts read too, then the body.
//!
//! ```text
//! offset 0   form, `1`
//!        1   epoch, 16 characters
//!        17  stale time in milliseconds, 10 digits
//!        27  total time in milliseconds, 10 digits
//!        37  XXH3 of the body, 16 hexadecimal digits
//!        53  body
//! ```
//! The entry's age is its total time less what Redis says is left of it: no writer's clock is involved.

use bytes::Bytes;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Characters of an epoch or of a lease's token.
pub const TOKEN_LENGTH: usize = 16;
const HEADER_LENGTH: usize = 53;
const FORM: u8 = b'1';

/// An answer, and for how much longer it may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The JSON.
    pub body: Bytes,
    /// Left of the time in which it may be given as it is; zero when it has aged.
    pub fresh: Duration,
    /// Left of the time in which it may be given at all.
    pub total: Duration,
}

/// Why bytes are no entry of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// From before an invalidation of everything.
    OtherEpoch,
    /// Damaged, or not ours.
    Unreadable,
}

/// The bytes of an entry.
pub fn encode(epoch: &str, body: &[u8], fresh: Duration, stale: Duration) -> Vec<u8> {
    let total = (fresh + stale).as_millis();
    let checksum = xxh3_64(body);
    let header = format!(
        "{}{epoch}{:010}{total:010}{checksum:016x}",
        char::from(FORM),
        stale.as_millis()
    );
    debug_assert_eq!(header.len(), HEADER_LENGTH);
    [header.as_bytes(), body].concat()
}

/// The entry in `bytes`, of which Redis says that `left` of its time is left.
pub fn decode(bytes: &Bytes, epoch: &str, left: Duration) -> Result<Found, Refused> {
    let header = bytes
        .get(..HEADER_LENGTH)
        .and_then(|header| str::from_utf8(header).ok());
    let header = header
        .filter(|header| header.as_bytes()[0] == FORM)
        .ok_or(Refused::Unreadable)?;
    let field = |from: usize, to: usize| header.get(from..to).ok_or(Refused::Unreadable);
    let milliseconds = |text: &str| {
        text.parse()
            .map(Duration::from_millis)
            .map_err(|_| Refused::Unreadable)
    };
    let stale = milliseconds(field(17, 27)?)?;
    milliseconds(field(27, 37)?)?;
    let checksum = u64::from_str_radix(field(37, 53)?, 16).map_err(|_| Refused::Unreadable)?;
    let body = bytes.slice(HEADER_LENGTH..);
    if checksum != xxh3_64(&body) {
        return Err(Refused::Unreadable);
    }
    if field(1, 17)? != epoch {
        return Err(Refused::OtherEpoch);
    }
    Ok(Found {
        body,
        fresh: left.saturating_sub(stale),
        total: left,
    })
}

#[cfg(test)]
mod tests {
    use super::{Found, HEADER_LENGTH, Refused, decode, encode};
    use bytes::Bytes;
    use std::time::Duration;

    const EPOCH: &str = "0123456789abcdef";

    fn entry() -> Vec<u8> {
        encode(
            EPOCH,
            b"{}",
            Duration::from_secs(10),
            Duration::from_secs(5),
        )
    }

    #[test]
    fn what_was_written_reads_back_with_the_time_that_is_left() {
        let found = decode(&entry().into(), EPOCH, Duration::from_secs(12)).unwrap();
        let expected = Found {
            body: Bytes::from_static(b"{}"),
            fresh: Duration::from_secs(7),
            total: Duration::from_secs(12),
        };
        assert_eq!(found, expected);
        let aged = decode(&entry().into(), EPOCH, Duration::from_secs(4)).unwrap();
        assert_eq!(aged.fresh, Duration::ZERO);
    }

    #[test]
    fn an_entry_of_another_epoch_is_refused() {
        let refused = decode(&entry().into(), "fedcba9876543210", Duration::from_secs(12));
        assert_eq!(refused, Err(Refused::OtherEpoch));
    }

    #[test]
    fn damage_anywhere_but_in_the_epoch_and_times_is_found() {
        for position in (0..1).chain(37..entry().len()) {
            let mut damaged = entry();
            damaged[position] ^= 1;
            assert_eq!(
                decode(&damaged.into(), EPOCH, Duration::from_secs(1)),
                Err(Refused::Unreadable),
                "{position}"
            );
        }
        for length in 0..HEADER_LENGTH {
            let cut = Bytes::from(entry()).slice(..length);
            assert_eq!(
                decode(&cut, EPOCH, Duration::from_secs(1)),
                Err(Refused::Unreadable),
                "{length}"
            );
        }
        assert_eq!(
            decode(&Bytes::from_static(&[0xff; 80]), EPOCH, Duration::ZERO),
            Err(Refused::Unreadable)
        );
    }
}
