//! Conditions whose transition time changes only with their status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Maximum length of a message that the API accepts.
const MAX_MESSAGE: usize = 4096;

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is unknown.
    Unknown,
}

/// The status of a condition, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it holds.
    pub status: Status,
    /// The reason, one word.
    pub reason: &'static str,
    /// The message, a sentence.
    pub message: String,
}

impl Finding {
    /// Creates a finding.
    pub fn new(status: Status, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
        }
    }
}

/// Conditions under construction.
pub struct Conditions<'a> {
    before: &'a [Condition],
    generation: Option<i64>,
    now: Timestamp,
    made: Vec<Condition>,
}

impl<'a> Conditions<'a> {
    /// No conditions yet; `before` are the previous ones.
    pub fn new(before: &'a [Condition], generation: Option<i64>, now: Timestamp) -> Self {
        // The API server keeps whole seconds; fractions would differ each time.
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self {
            before,
            generation,
            now,
            made: Vec::new(),
        }
    }

    /// Adds a condition.
    pub fn put(&mut self, type_: &str, finding: &Finding) {
        self.set(type_, finding.status, finding.reason, &finding.message);
    }

    /// Adds a condition.
    pub fn set(&mut self, type_: &str, status: Status, reason: &str, message: &str) {
        let status = match status {
            Status::True => "True",
            Status::False => "False",
            Status::Unknown => "Unknown",
        };
        let before = self
            .before
            .iter()
            .find(|before| before.type_ == type_ && before.status == status);
        self.made.push(Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(MAX_MESSAGE).collect(),
            observed_generation: self.generation,
            last_transition_time: before
                .map_or(Time(self.now), |before| before.last_transition_time.clone()),
        });
    }

    /// The added conditions.
    pub fn all(self) -> Vec<Condition> {
        self.made
    }

    /// The added conditions, and the previous ones that were not added.
    pub fn with_the_others(mut self) -> Vec<Condition> {
        for before in self.before {
            if !self.made.iter().any(|made| made.type_ == before.type_) {
                self.made.push(before.clone());
            }
        }
        self.made
    }
}
