//! Where the programs that the tests run are installed, and where their cached files are kept.

use std::env;
use std::path::PathBuf;

/// The path of an installed program; if it is missing, panics and says how to install it.
#[must_use]
pub fn program(name: &str, debian_package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    // Servers live in /usr/sbin, which is missing in many users' PATH.
    env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| panic!("{name} not found: run e2e/install (root on Debian), or apt-get install {debian_package}"))
}

/// `${XDG_CACHE_HOME:-~/.cache}/reckon`.
#[must_use]
pub fn cache_directory() -> PathBuf {
    env::var_os("XDG_CACHE_HOME")
        .filter(|home| !home.is_empty())
        .map_or_else(|| env::home_dir().unwrap().join(".cache"), PathBuf::from)
        .join("reckon")
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
