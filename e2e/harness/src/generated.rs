//! Generated parts of documents: compared with the file, or written to it.

use std::fs;
use std::path::Path;

/// Variable that enables writing the parts.
const WRITE: &str = "RECKON_WRITE_PINNED";
const END: &str = "<!-- end of generated -->";

/// Compares the part `name` of `document` with `text`: the lines between `<!-- generated: NAME -->` and
/// `<!-- end of generated -->`. If `RECKON_WRITE_PINNED` is set, the part is written first.
///
/// # Panics
/// They differ, or `document` has no such part.
pub fn compare(document: impl AsRef<Path>, name: &str, text: &str) {
    let document = document.as_ref();
    let found = fs::read_to_string(document).unwrap();
    let begin = format!("<!-- generated: {name} -->");
    let expected = found.split_once(&begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!(
            "{before}{begin}\n\n{}\n\n{END}{after}",
            text.trim()
        ))
    });
    let Some(expected) = expected else {
        panic!("{} has no part {begin}", document.display());
    };
    if std::env::var_os(WRITE).is_some() {
        fs::write(document, &expected).unwrap();
    }
    let written = fs::read_to_string(document).unwrap();
    assert!(
        written == expected,
        "the part {name} of {} is out of date: run `make generate`",
        document.display()
    );
}

/// A row of a Markdown table.
#[must_use]
pub fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells
        .iter()
        .map(|cell| cell.replace('|', "\\|").replace('\n', " "))
        .collect();
    format!("| {} |\n", cells.join(" | "))
}
