//! Statements that the prober runs between two probes, so that following new rows needs no further connection.

use crate::store::new_rows::{Answer, Followed, Question};
use crate::store::{Error, Reason, Scope};
use tokio::sync::oneshot;

/// A question about new rows.
pub struct Errand {
    /// The table.
    pub of: Followed,
    /// The question.
    pub question: Question,
    /// Receives the answer.
    pub reply: oneshot::Sender<Result<Answer, Error>>,
}

/// The error of an errand that the prober did not run to its end.
pub fn interrupted() -> Error {
    Error {
        reason: Reason::Other,
        scope: Scope::Statement,
        source: "the connection was lost before the statement ran".into(),
    }
}
