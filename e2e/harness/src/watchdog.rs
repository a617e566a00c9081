//! Cleans up for a test process that dies without dropping anything: Ctrl-C, SIGKILL, a `static`.
//!
//! A shell in a separate process group waits for its standard input to close, which only the end of the test process
//! does, and then acts.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Acts if this process ends while the value lives; dropping it cancels it.
pub struct Watchdog(Child);

impl Watchdog {
    /// A watchdog that kills a process group.
    #[must_use]
    pub fn of_group(id: u32) -> Self {
        Self::new(r#"kill -s KILL -- "-$1""#, id.to_string())
    }

    /// A watchdog that removes a directory, and retries while another process still writes into it.
    fn of_directory(path: &Path) -> Self {
        let remove =
            r#"n=0; until rm -rf -- "$1" || [ $n = 100 ]; do n=$((n + 1)); sleep 0.1; done"#;
        Self::new(remove, path)
    }

    fn new(act: &str, argument: impl AsRef<OsStr>) -> Self {
        let child = Command::new("/bin/sh")
            .args(["-c", &format!("read -r _; {act}"), "watchdog"])
            .arg(argument)
            // No other process inherits the writing end, so it closes with this process.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory that is removed when it is dropped, and when this process dies.
pub struct Scratch {
    // In this order: removed while still watched.
    directory: TempDir,
    _watchdog: Watchdog,
}

impl Scratch {
    /// A new directory below `parent`.
    #[must_use]
    pub fn new(parent: &Path, prefix: &str) -> Self {
        let directory = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(parent)
            .unwrap();
        let watchdog = Watchdog::of_directory(directory.path());
        Self {
            directory,
            _watchdog: watchdog,
        }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}
