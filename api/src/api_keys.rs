//! The keys that clients authenticate with: read from a file, kept as digests, reloaded when the file changes.
//!
//! Only [`ApiKeys::parse`] has the keys themselves: no log, error or metric contains one.

use crate::file_watch::{self, Debounce, FileWatch};
use crate::supervise::{Supervisor, Task};
use sha2::{Digest as _, Sha256};
use std::error::Error as _;
use std::path::Path;
use std::{fmt, sync::Arc, time::Duration};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;
use tracing::{info, warn};

/// Minimum length of a key, in bytes: 128 bits if they are random.
const MIN_KEY_BYTES: usize = 16;
/// Maximum size of the file, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// How often the file is checked. A change counts once two checks in a row read the same content, so that a file that is
/// still being written is not used.
const PERIOD: Duration = Duration::from_millis(500);

type Digest = [u8; 32];

/// Each of these keys authenticates a client. There may be several, so that a key can be rotated without rejected requests.
#[derive(Clone)]
pub struct ApiKeys(Vec<Digest>);

/// Why a key file is rejected. Never contains the file's content.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or is too long for a list of keys.
    #[error(transparent)]
    File(file_watch::Error),
    /// The file has only blank lines and comments.
    #[error("has no key in it")]
    Empty,
    /// A key that is short enough to guess.
    #[error("line {line}: a key has at least {MIN_KEY_BYTES} bytes, this one has {length}")]
    TooShort {
        /// Line of the file, from 1.
        line: usize,
        /// Length of the key in bytes.
        length: usize,
    },
    /// A key that a client cannot send in a header.
    #[error("line {line}: a key is of visible ASCII characters, without spaces")]
    Unsendable {
        /// Line of the file, from 1.
        line: usize,
    },
}

impl ApiKeys {
    /// Reads one key a line. Blank lines, lines that start with `#`, and white space around a key are ignored.
    ///
    /// # Errors
    /// There is no key, or a key is too short or cannot be sent.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let lines = text.split(|byte| *byte == b'\n').zip(1..);
        let keys: Result<Vec<_>, _> = lines
            .map(|(line, number)| (line.trim_ascii(), number))
            .filter(|(key, _)| !key.is_empty() && !key.starts_with(b"#"))
            .map(|(key, line)| digest_of(key, line))
            .collect();
        match keys? {
            none if none.is_empty() => Err(Error::Empty),
            keys => Ok(Self(keys)),
        }
    }

    /// Whether `key` is one of these, in constant time.
    #[must_use]
    pub(crate) fn contain(&self, key: &[u8]) -> bool {
        let digest: Digest = Sha256::digest(key).into();
        let found = self.0.iter().fold(Choice::from(0), |found, known| {
            found | known.as_slice().ct_eq(&digest)
        });
        found.into()
    }

    /// Number of keys.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} keys", self.count())
    }
}

fn digest_of(key: &[u8], line: usize) -> Result<Digest, Error> {
    let length = key.len();
    if length < MIN_KEY_BYTES {
        Err(Error::TooShort { line, length })
    } else if !key.iter().all(u8::is_ascii_graphic) {
        Err(Error::Unsendable { line })
    } else {
        Ok(Sha256::digest(key).into())
    }
}

/// The keys of a file, and their later changes.
///
/// # Errors
/// The file cannot be read or is invalid.
pub fn follow(path: &Path, tasks: &Arc<Supervisor>) -> Result<watch::Receiver<ApiKeys>, Error> {
    let text = file_watch::read(path, MAX_FILE).map_err(Error::File)?;
    let (sender, keys) = watch::channel(ApiKeys::parse(&text)?);
    info!(file = %path.display(), keys = keys.borrow().count(), "API keys loaded");
    let (path, first) = (path.to_owned(), Debounce::first(Some(&text)));
    tokio::spawn(Arc::clone(tasks).keep(Task::ApiKeys, move |again| {
        let debounce = if again { Debounce::default() } else { first };
        let file = FileWatch::new(path.clone(), MAX_FILE, PERIOD, debounce);
        reload(file, path.display().to_string(), sender.clone())
    }));
    Ok(keys)
}

async fn reload(mut file: FileWatch, path: String, keys: watch::Sender<ApiKeys>) {
    loop {
        let changed = tokio::select! {
            changed = file.changed() => changed,
            () = keys.closed() => None,
        };
        let Some(text) = changed else { return };
        let text = text.map_err(Error::File);
        match text.and_then(|text| ApiKeys::parse(&text)) {
            Ok(new) => {
                info!(file = path, keys = new.count(), "API keys reloaded");
                keys.send_replace(new);
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                warn!(file = path, %error, cause, "invalid API key file, keeping the previous keys");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ApiKeys;

    const OLD: &[u8] = b"the-old-key-of-16-bytes-or-more";
    const NEW: &[u8] = b"the-new-key-of-16-bytes-or-more";

    fn rejection(text: &str) -> String {
        ApiKeys::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn keys_are_lines_without_comments_and_white_space() {
        let text = b"# of the shop\n\n  the-old-key-of-16-bytes-or-more \r\n\t# of the crawler\nthe-new-key-of-16-bytes-or-more";
        let keys = ApiKeys::parse(text).unwrap();
        assert_eq!(keys.count(), 2);
        assert!(keys.contain(OLD) && keys.contain(NEW));
        for other in [&b""[..], b"# of the shop", &OLD[1..], b"the-old-key"] {
            assert!(!keys.contain(other));
        }
    }

    #[test]
    fn an_invalid_key_is_reported_by_line_and_never_shown() {
        assert_eq!(rejection(""), "has no key in it");
        assert_eq!(rejection("# nothing\n\n"), "has no key in it");
        assert_eq!(
            rejection("# one\nfifteen-bytes-x\n"),
            "line 2: a key has at least 16 bytes, this one has 15"
        );
        for unsendable in ["sixteen bytes of it", "sechzehn-B\u{fc}rokratisch"] {
            let refusal = rejection(unsendable);
            assert_eq!(
                refusal,
                "line 1: a key is of visible ASCII characters, without spaces"
            );
        }
        assert_eq!(format!("{:?}", ApiKeys::parse(OLD).unwrap()), "1 keys");
    }
}
