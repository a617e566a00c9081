//! Follows a file whose content may be replaced while the process runs.
//!
//! The content itself is compared. A watch on the file (inotify) does not work for Secret volumes and network file
//! systems. File size and time do not show every change.

use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read as _};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// The file is longer than allowed.
    #[error("is longer than {0} bytes")]
    TooLong(u64),
}

/// Reads the file at `path`, which may have at most `max_bytes` bytes.
///
/// # Errors
/// The file cannot be read, or is longer.
pub fn read(path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(Error::Unreadable)?;
    // One byte beyond the maximum, to detect a longer file.
    let mut bounded = file.take(max_bytes + 1);
    bounded
        .read_to_end(&mut content)
        .map_err(Error::Unreadable)?;
    if content.len() as u64 > max_bytes {
        return Err(Error::TooLong(max_bytes));
    }
    Ok(content)
}

/// Reads a file again and again.
pub struct FileWatch {
    path: PathBuf,
    max_bytes: u64,
    ticks: Interval,
    debounce: Debounce,
}

impl FileWatch {
    /// Reads the file at `path` once each `period`. The first content counts as a change, unless `debounce` already has
    /// a content.
    #[must_use]
    pub fn new(path: PathBuf, max_bytes: u64, period: Duration, debounce: Debounce) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            path,
            max_bytes,
            ticks,
            debounce,
        }
    }

    /// The next change: the content after it, or why the file cannot be read any more. `None`: the process is ending.
    pub async fn changed(&mut self) -> Option<Result<Vec<u8>, Error>> {
        loop {
            self.ticks.tick().await;
            let (path, max_bytes) = (self.path.clone(), self.max_bytes);
            let content = match tokio::task::spawn_blocking(move || read(&path, max_bytes)).await {
                Ok(content) => content,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => return None,
                },
            };
            if let Some(changed) = self.debounce.next(content) {
                return Some(changed);
            }
        }
    }
}

/// A digest of the file's content; `None` if it could not be read.
type Look = Option<[u8; 32]>;

/// Decides when a change of the file is complete: once two reads in a row had the same result, so that a file that is still
/// being written is not used. The default has no previous content, so any content counts as a change.
#[derive(Clone, Copy, Default)]
pub struct Debounce {
    counts: Option<Look>,
    last: Option<Look>,
}

impl Debounce {
    /// A debounce that starts with this result of the first read.
    #[must_use]
    pub fn first(content: Option<&[u8]>) -> Self {
        let look = content.map(|content| Sha256::digest(content).into());
        Self {
            counts: Some(look),
            last: Some(look),
        }
    }

    /// Takes the result of a read. Returns the result of a change once, when the change is complete.
    fn next(&mut self, content: Result<Vec<u8>, Error>) -> Option<Result<Vec<u8>, Error>> {
        let look = content.as_ref().ok();
        let look = Some(look.map(|content| Sha256::digest(content).into()));
        let settled = look == self.last;
        self.last = look;
        if !settled || look == self.counts {
            return None;
        }
        self.counts = look;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::{Debounce, Error, read};

    const OLD: &[u8] = b"the old content";
    const NEW: &[u8] = b"the new content";

    #[test]
    fn a_change_counts_after_two_equal_reads() {
        let mut debounce = Debounce::first(Some(OLD));
        let mut read = |content: &[u8]| debounce.next(Ok(content.to_vec()));
        assert!(read(OLD).is_none());
        assert!(read(b"the new con").is_none(), "half written");
        assert!(read(NEW).is_none());
        assert_eq!(read(NEW).unwrap().unwrap(), NEW);
        assert!(read(NEW).is_none());
    }

    #[test]
    fn a_missing_file_is_reported_once_and_so_is_its_return() {
        let mut debounce = Debounce::first(Some(OLD));
        let gone = || Err(Error::Unreadable(std::io::ErrorKind::NotFound.into()));
        assert!(debounce.next(gone()).is_none());
        assert!(debounce.next(gone()).unwrap().is_err());
        assert!(debounce.next(gone()).is_none());
        assert!(debounce.next(Ok(OLD.to_vec())).is_none());
        assert!(debounce.next(Ok(OLD.to_vec())).unwrap().is_ok());
    }

    #[test]
    fn a_file_that_is_missing_at_first_is_a_change_once_it_exists() {
        let mut debounce = Debounce::first(None);
        let gone = || Err(Error::Unreadable(std::io::ErrorKind::NotFound.into()));
        assert!(debounce.next(gone()).is_none());
        assert!(debounce.next(gone()).is_none());
        assert!(debounce.next(Ok(NEW.to_vec())).is_none());
        assert!(debounce.next(Ok(NEW.to_vec())).unwrap().is_ok());
    }

    #[test]
    fn a_file_may_have_the_maximum_length_and_not_one_byte_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, OLD).unwrap();
        let length = OLD.len() as u64;
        assert_eq!(read(&path, length).unwrap(), OLD);
        let error = read(&path, length - 1).unwrap_err();
        assert_eq!(error.to_string(), "is longer than 14 bytes");
    }
}
