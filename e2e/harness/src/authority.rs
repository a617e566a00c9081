//! A certificate authority for one test, created with `openssl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::installed::program;

/// Issues certificates; dropping it removes its keys.
pub struct Authority(TempDir);

impl Authority {
    /// Creates an authority with a new name and a new key.
    #[expect(clippy::new_without_default, reason = "no two are the same")]
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let name = fastrand::u64(..);
        openssl(
            directory.path(),
            &format!(
                "req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout ca.key -out ca.pem -days 2 \
                 -subj /CN=authority-{name} -addext keyUsage=critical,keyCertSign"
            ),
        );
        Self(directory)
    }

    /// The file with its own certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.path().join("ca.pem")
    }

    /// Writes `ca.pem`, `server.pem` and `server.key` into a directory; `name` is `DNS:...` or `IP:...`.
    pub fn issue(&self, directory: &Path, name: &str) {
        let own = self.0.path();
        fs::write(own.join("name"), format!("subjectAltName={name}\n")).unwrap();
        for command in [
            "req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout server.key -out server.csr \
             -subj /CN=database",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile name -out server.pem",
        ] {
            openssl(own, command);
        }
        for file in ["ca.pem", "server.pem", "server.key"] {
            fs::copy(own.join(file), directory.join(file)).unwrap();
        }
    }
}

/// Runs `openssl` in `directory`; panics if it fails.
pub(crate) fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new(program("openssl", "openssl"))
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
