//! The result of a step, as the text that the kubelet passes on: the container's termination message.

use super::{Change, Facts};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Maximum size of a termination message that a kubelet passes on.
pub const MAX_BYTES: usize = 4096;
/// Maximum characters of a server's version: servers have about 30.
const VERSION_LENGTH: usize = 100;
/// The end of a shortened string.
const CUT: &str = "...";
/// The replacement of a password.
const HIDDEN: &str = "(hidden)";

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Report {
    /// The step succeeded.
    Done {
        /// What the server reports of itself.
        facts: Facts,
        /// The changes of [`super::Step::Ensure`], in this order; empty: nothing was missing, or it was another step.
        changes: Vec<Change>,
    },
    /// The step failed; running it again resumes.
    Failed {
        /// Why, in one word.
        reason: Reason,
        /// Why, in a sentence, and what to do. Contains no password.
        message: String,
    },
}

/// Why a step failed: the reason of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No connection to the server, or it was lost.
    Unreachable,
    /// The server refuses the account.
    AccessDenied,
    /// The administrator lacks a privilege.
    InsufficientPrivilege,
    /// The database does not exist.
    UnknownDatabase,
    /// The connection is not protected as required.
    CertificateRefused,
    /// The database belongs to another resource.
    OwnedByAnother,
    /// An account with this name exists and cannot be proven to be ours.
    UserNotOurs,
    /// The database has tables and was not created for a resource.
    DatabaseNotEmpty,
    /// The database is a system database of the server.
    SystemDatabase,
    /// The server does not support two passwords for an account.
    RotationUnsupported,
    /// The server has reached its maximum number of connections.
    TooManyConnections,
    /// Anything else.
    ProvisioningFailed,
}

impl Reason {
    /// The reason as a string.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "Unreachable",
            Self::AccessDenied => "AccessDenied",
            Self::InsufficientPrivilege => "InsufficientPrivilege",
            Self::UnknownDatabase => "UnknownDatabase",
            Self::CertificateRefused => "CertificateRefused",
            Self::OwnedByAnother => "OwnedByAnother",
            Self::UserNotOurs => "UserNotOurs",
            Self::DatabaseNotEmpty => "DatabaseNotEmpty",
            Self::SystemDatabase => "SystemDatabase",
            Self::RotationUnsupported => "RotationUnsupported",
            Self::TooManyConnections => "TooManyConnections",
            Self::ProvisioningFailed => "ProvisioningFailed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a text is not a report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReport {
    /// Longer than a termination message can be.
    #[error("invalid report: {0} bytes, at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// The format is invalid.
    #[error("invalid report: {0}")]
    Malformed(String),
    /// A string in it has control characters, or is longer than in our reports.
    #[error("invalid report: a text in it has control characters or is too long")]
    Text,
}

impl Report {
    /// JSON of at most [`MAX_BYTES`] bytes: control characters become spaces, and long strings are shortened.
    #[must_use]
    pub fn to_message(&self) -> String {
        let mut report = self.clone();
        match &mut report {
            Self::Done { facts, .. } => {
                facts.version_text = shown(&facts.version_text)
                    .chars()
                    .take(VERSION_LENGTH)
                    .collect();
            }
            Self::Failed { message, .. } => *message = shown(message),
        }
        let text = report.to_json();
        let Self::Failed { message, .. } = &mut report else {
            return text;
        };
        if text.len() <= MAX_BYTES {
            return text;
        }
        let around = text.len() - message.chars().map(json_bytes).sum::<usize>();
        let mut room = MAX_BYTES - around - CUT.len();
        let is_kept = |letter: &char| {
            let left = room.checked_sub(json_bytes(*letter));
            room = left.unwrap_or(0);
            left.is_some()
        };
        *message = message.chars().take_while(is_kept).collect();
        message.push_str(CUT);
        report.to_json()
    }

    /// The report without these passwords: a server's message may repeat one.
    #[must_use]
    pub fn without(mut self, passwords: &[&str]) -> Self {
        // Passwords are removed in their original and in their displayed form. The longest is first, since one may be a
        // part of another.
        let mut hidden: Vec<String> = passwords
            .iter()
            .flat_map(|password| [(*password).to_owned(), shown(password)])
            .filter(|password| !password.is_empty())
            .collect();
        hidden.sort_by_key(|password| std::cmp::Reverse(password.len()));
        let hide = |text: &str| {
            let hide = |text: String, password: &String| text.replace(password, HIDDEN);
            hidden.iter().fold(text.to_owned(), hide)
        };
        let text = match &mut self {
            Self::Done { facts, .. } => &mut facts.version_text,
            Self::Failed { message, .. } => message,
        };
        *text = hide(&shown(&hide(text)));
        self
    }

    /// Parses a termination message. Any pod may have written it, so everything that [`Report::to_message`] never writes is
    /// rejected.
    ///
    /// # Errors
    /// See [`InvalidReport`].
    pub fn parse(text: &str) -> Result<Self, InvalidReport> {
        if text.len() > MAX_BYTES {
            return Err(InvalidReport::TooLong(text.len()));
        }
        // The message has the position and the kind of the error, but not the text.
        let report: Self = serde_json::from_str(text)
            .map_err(|error| InvalidReport::Malformed(shown(&error.to_string())))?;
        let is_fine = match &report {
            Self::Done { facts, .. } => {
                is_shown(&facts.version_text)
                    && facts.version_text.chars().count() <= VERSION_LENGTH
            }
            Self::Failed { message, .. } => is_shown(message),
        };
        if is_fine {
            Ok(report)
        } else {
            Err(InvalidReport::Text)
        }
    }

    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report is plain data")
    }
}

/// Bytes of a character in a JSON string, except control characters.
fn json_bytes(letter: char) -> usize {
    letter.len_utf8() + usize::from(matches!(letter, '"' | '\\'))
}

/// The string in one line, without any character that would change how a terminal displays it.
fn shown(text: &str) -> String {
    let shown = |letter: char| if is_hidden(letter) { ' ' } else { letter };
    text.chars().map(shown).collect()
}

fn is_shown(text: &str) -> bool {
    !text.chars().any(is_hidden)
}

/// Control characters, and those that change the direction of text or end a line (Unicode Standard Annex 9 and 14).
fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::{InvalidReport, MAX_BYTES, Reason, Report};
    use crate::provisioning::{Change, Facts, Flavour};

    fn done(version_text: &str) -> Report {
        Report::Done {
            facts: Facts {
                flavour: Flavour::MySql,
                version: (9, 7, 4),
                version_text: version_text.to_owned(),
                max_connections: 151,
            },
            changes: vec![Change::DatabaseMade, Change::UserMade],
        }
    }

    fn failed(message: &str) -> Report {
        Report::Failed {
            reason: Reason::AccessDenied,
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        for (report, text) in [
            (
                done("9.7.4-2"),
                r#"{"done":{"facts":{"flavour":"MySql","version":[9,7,4],"versionText":"9.7.4-2","maxConnections":151},"changes":["DatabaseMade","UserMade"]}}"#,
            ),
            (
                failed("no \"password\" for ä"),
                r#"{"failed":{"reason":"AccessDenied","message":"no \"password\" for ä"}}"#,
            ),
        ] {
            assert_eq!(report.to_message(), text);
            assert_eq!(Report::parse(text), Ok(report));
        }
    }

    #[test]
    fn a_report_is_never_longer_than_a_termination_message() {
        for letter in ["a", "\"", "\\", "\u{1}", "ä", "語", "🙂", "\u{10ffff}"] {
            for length in (0..MAX_BYTES).step_by(61).chain([5000, 1 << 20]) {
                for report in [failed(&letter.repeat(length)), done(&letter.repeat(length))] {
                    let text = report.to_message();
                    assert!(text.len() <= MAX_BYTES, "{letter:?} {length}");
                    let read = Report::parse(&text).unwrap();
                    assert_eq!(read.to_message(), text);
                }
            }
        }
        // Nearly all of the size is used.
        for letter in ["a", "\"", "語", "\"🙂"] {
            let text = failed(&letter.repeat(5000)).to_message();
            assert!(text.len() > MAX_BYTES - 5, "{letter}: {}", text.len());
            assert!(text.ends_with("...\"}}"), "{text}");
        }
    }

    #[test]
    fn control_characters_in_a_message_are_replaced() {
        let text = failed("a\u{1b}[31mb\r\nc\u{202e}d\u{7f}e\u{9b}f").to_message();
        assert_eq!(
            text,
            r#"{"failed":{"reason":"AccessDenied","message":"a [31mb  c d e f"}}"#
        );
    }

    #[test]
    fn passwords_in_a_report_are_hidden() {
        for (message, password, shown) in [
            ("wrong: hunter2!", "hunter2", "wrong: (hidden)!"),
            ("hunter2hunter2", "hunter2", "(hidden)(hidden)"),
            // It is a password only in the displayed form.
            ("a\u{1}b", "a b", "(hidden)"),
            ("a\u{1}b a b", "a\u{1}b", "(hidden) (hidden)"),
            ("without a password", "", "without a password"),
            // The longer one contains the shorter one.
            ("hunter2-and-more", "hunter2-and-more", "(hidden)"),
        ] {
            let report = failed(message).without(&["", "hunter2", password]);
            assert_eq!(report, failed(shown));
        }
        let report = done("9.7.4-hunter2").without(&["hunter2"]);
        assert_eq!(report, done("9.7.4-(hidden)"));
    }

    #[test]
    fn an_invalid_report_is_rejected() {
        let long = format!("{:MAX_BYTES$} ", failed("a").to_message());
        assert_eq!(
            Report::parse(&long),
            Err(InvalidReport::TooLong(MAX_BYTES + 1))
        );
        let good = done("9.7.4").to_message();
        for text in [
            "",
            "panicked at main.rs",
            "{}",
            r#"{"failed":{"reason":"AccessDenied"}}"#,
            r#"{"failed":{"reason":"Bored","message":""}}"#,
            r#"{"failed":{"reason":"AccessDenied","message":"","more":1}}"#,
            r#"{"failed":{"reason":"AccessDenied","message":""}} and more"#,
            &good.replace("151", "-1"),
            &good.replace("UserMade", "UserKilled"),
            &good.replace("\"done\"", "\"well\""),
        ] {
            let error = Report::parse(text).unwrap_err();
            assert!(matches!(error, InvalidReport::Malformed(_)), "{text}");
            println!("{error}");
        }
        for text in [
            r#"{"failed":{"reason":"AccessDenied","message":"a\u001bb"}}"#,
            r#"{"failed":{"reason":"AccessDenied","message":"a\u202eb"}}"#,
            &good.replace("9.7.4", "a\\nb"),
            &good.replace("9.7.4", &"9".repeat(101)),
        ] {
            assert_eq!(Report::parse(text), Err(InvalidReport::Text), "{text}");
        }
    }

    #[test]
    fn a_reason_serializes_as_its_name() {
        for reason in [
            Reason::Unreachable,
            Reason::AccessDenied,
            Reason::InsufficientPrivilege,
            Reason::UnknownDatabase,
            Reason::CertificateRefused,
            Reason::OwnedByAnother,
            Reason::UserNotOurs,
            Reason::DatabaseNotEmpty,
            Reason::SystemDatabase,
            Reason::RotationUnsupported,
            Reason::TooManyConnections,
            Reason::ProvisioningFailed,
        ] {
            let written = serde_json::to_value(reason).unwrap();
            assert_eq!(written, reason.as_str());
        }
    }
}
