//! Names derived from content.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Ten hexadecimal digits that name `content`.
#[must_use]
pub fn digest(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in &Sha256::digest(content)[..5] {
        write!(text, "{byte:02x}").expect("a String takes any text");
    }
    text
}
