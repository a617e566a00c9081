//! An error and its causes in one line.

use std::error::Error;
use std::iter::successors;

/// The error and its causes, separated by colons. The database drivers' errors repeat their cause, which is then omitted.
#[must_use]
pub fn error_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in successors(Some(error), |&error| error.source()) {
        let cause = cause.to_string();
        if !line.ends_with(&cause) {
            let colon = if line.is_empty() { "" } else { ": " };
            line = line + colon + &cause;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::error_line;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Above(&'static str, #[source] std::fmt::Error);

    #[test]
    fn a_repeated_cause_is_omitted() {
        let cause = std::fmt::Error.to_string();
        let repeated = format!("failed: {cause}");
        for (text, expected) in [
            ("failed", repeated.as_str()),
            (repeated.clone().leak(), repeated.as_str()),
        ] {
            assert_eq!(error_line(&Above(text, std::fmt::Error)), expected);
        }
    }
}
