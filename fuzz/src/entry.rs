//! Entries of the shared cache. Whatever Redis returns is an entry that this program wrote, unchanged, or it is refused.
//!
//! Input: mode (1 byte), user (8), milliseconds left (8), then the bytes in Redis. Mode 1: the checksum is made right, so
//! that what is checked beyond it is reached.

use bytes::Bytes;
use reckon_api::fuzzing::{DecodeError, TOKEN_LENGTH, decode, encode};
use reckon_api::model::UserId;
use std::time::Duration;
use xxhash_rust::xxh3::Xxh3;

/// Longest times of an answer: a week each (the tuning's bounds), and 10 % more.
const MAX_MILLISECONDS: u64 = 604_800_000 * 11 / 10;

/// Checks one input.
pub fn check(data: &[u8]) {
    let Some((&[mode, ref fixed @ ..], stored)) = data.split_first_chunk::<17>() else {
        return;
    };
    let (user, left) = fixed.split_at(8);
    let id = i64::from_le_bytes(user.try_into().expect("8 bytes"));
    let number = u64::from_le_bytes(left.try_into().expect("8 bytes"));
    let mut stored = stored.to_vec();
    if mode == 1 {
        seal(&mut stored, id);
    }
    what_is_read_was_written(&stored.into(), id, Duration::from_millis(number));
    what_is_written_reads_back(&UserId::Integer(id), number, &data[17..]);
}

fn what_is_read_was_written(stored: &Bytes, id: i64, left: Duration) {
    let user = UserId::Integer(id);
    let epoch = stored.get(1..=TOKEN_LENGTH);
    let epoch = epoch.and_then(|epoch| std::str::from_utf8(epoch).ok());
    let epoch = epoch.unwrap_or("0123456789abcdef");
    let Ok(found) = decode(stored, &user, epoch, left) else {
        return;
    };
    let milliseconds = |from: usize| {
        let digits = std::str::from_utf8(&stored[from..from + 10]).expect("digits");
        digits.parse().map(Duration::from_millis).expect("digits")
    };
    let (stale, total): (Duration, Duration) = (milliseconds(17), milliseconds(27));
    let fresh = total
        .checked_sub(stale)
        .expect("no entry is stale for longer than in all");
    let written = encode(&user, epoch, (&found.body, found.model), fresh, stale);
    assert!(
        written == stored[..],
        "an entry that nobody writes was read"
    );
    assert!(left <= total);
    assert_eq!(
        (found.fresh, found.total),
        (left.saturating_sub(stale), left)
    );
    let other = UserId::Integer(id.wrapping_add(1));
    assert_eq!(
        decode(stored, &other, epoch, left),
        Err(DecodeError::Unreadable)
    );
    assert_eq!(
        decode(stored, &user, &format!("{epoch}x"), left),
        Err(DecodeError::OtherEpoch)
    );
}

/// With any body and any times within the tuning's bounds; changed in one bit, it is refused.
fn what_is_written_reads_back(user: &UserId, number: u64, body: &[u8]) {
    let fresh = Duration::from_millis(number % (MAX_MILLISECONDS + 1));
    let stale = Duration::from_millis((number / MAX_MILLISECONDS) % (MAX_MILLISECONDS + 1));
    let epoch = format!("{number:016x}");
    let mut written = encode(user, &epoch, (body, number), fresh, stale);
    let found = decode(
        &Bytes::copy_from_slice(&written),
        user,
        &epoch,
        fresh + stale,
    );
    let found = found.expect("what was written is read");
    assert_eq!(
        (&found.body[..], found.model, found.fresh, found.total),
        (body, number, fresh, fresh + stale)
    );
    let bit = usize::try_from(number).unwrap_or(usize::MAX) % (written.len() * 8);
    written[bit / 8] ^= 1 << (bit % 8);
    let damaged = decode(&written.into(), user, &epoch, Duration::ZERO);
    assert_eq!(damaged, Err(DecodeError::Unreadable), "bit {bit}");
}

/// Writes the checksum of a header and a body where it belongs.
fn seal(stored: &mut [u8], id: i64) {
    if stored.len() < 69 {
        return;
    }
    let mut hasher = Xxh3::new();
    hasher.update(&stored[..53]);
    hasher.update(&id.to_le_bytes());
    hasher.update(&stored[69..]);
    let checksum = format!("{:016x}", hasher.digest());
    stored[53..69].copy_from_slice(checksum.as_bytes());
}
