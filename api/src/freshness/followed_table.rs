//! One followed table: determines the column by which it is followed, then polls.

use super::found::Found;
use super::sequence::{self, Sequence};
use super::status::State;
use super::timed::TimeWindow;
use crate::recommend::Recommender;
use crate::store::new_rows::{Answer, Followed, Order, Question};
use crate::store::{Error, Reason, Scope};
use reckon_contract::tables::Table;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64;

/// A table that cannot be followed is inspected again after this time.
const RECHECK_PAUSE: Duration = Duration::from_mins(1);

/// Two clocks, read at the same moment.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Time since the follower began.
    pub elapsed: Duration,
    /// Seconds since 1970.
    pub seconds: i64,
}

/// One table.
pub struct FollowedTable {
    /// Which of the two tables it is.
    pub of: Followed,
    name: String,
    overlap: Duration,
    progress: Progress,
    /// The position that was last written to the shared cache.
    kept: String,
    /// The order that was last reported.
    reported: Option<Order>,
    is_checked: bool,
}

enum Progress {
    /// The columns have not been inspected.
    Unknown,
    /// The table could not be followed when it was inspected.
    NotFollowed(Duration),
    Sequence {
        column: Arc<str>,
        state: Sequence,
    },
    Time(TimeWindow),
}

impl FollowedTable {
    /// The table called `table`, before its first inspection.
    pub fn new(of: Followed, table: &Table, overlap: Duration) -> Self {
        Self {
            of,
            name: table.name.clone(),
            overlap,
            progress: Progress::Unknown,
            kept: String::new(),
            reported: None,
            is_checked: false,
        }
    }

    /// How it is followed.
    pub fn state(&self) -> State {
        match &self.progress {
            Progress::Unknown => State::Unknown,
            Progress::NotFollowed(_) => State::NotFollowed,
            Progress::Sequence { .. } => State::Sequence,
            Progress::Time(_) => State::Time,
        }
    }

    /// Finds new rows. Rows that were found count even if an error ended the poll.
    pub async fn poll(
        &mut self,
        recommender: &Recommender,
        clock: &impl Fn() -> Clock,
    ) -> (Found, Result<(), Error>) {
        let mut found = Found::default();
        let result = self.find(recommender, clock, &mut found).await;
        // After a failure the table may have changed.
        self.is_checked = result.is_ok();
        (found, result)
    }

    async fn find(
        &mut self,
        recommender: &Recommender,
        clock: &impl Fn() -> Clock,
        found: &mut Found,
    ) -> Result<(), Error> {
        if !self.is_checked || self.is_due_again(clock().elapsed) {
            self.check(recommender, clock()).await?;
        }
        match &mut self.progress {
            Progress::Unknown | Progress::NotFollowed(_) => Ok(()),
            Progress::Sequence { column, state } => {
                let mut poll = state.poll(clock().elapsed);
                let result = Self::ask_all(self.of, column, &mut poll, recommender).await;
                found.merge(poll.found);
                result
            }
            Progress::Time(window) => loop {
                let now = clock().seconds;
                let ask = window.ask(now);
                let question = Question::Times {
                    since: ask.since,
                    before: ask.before,
                    limit: ask.limit,
                };
                let answer = recommender.loader().new_rows(self.of, question).await?;
                let Answer::Times(rows) = answer else {
                    return Err(unexpected());
                };
                if !window.take(rows, now, found) {
                    return Ok(());
                }
            },
        }
    }

    async fn ask_all(
        of: Followed,
        column: &Arc<str>,
        poll: &mut sequence::Poll<'_>,
        recommender: &Recommender,
    ) -> Result<(), Error> {
        while let Some(ask) = poll.ask() {
            let column = Arc::clone(column);
            let question = match ask {
                sequence::Ask::Newest => Question::Newest { column },
                sequence::Ask::Rows(spans) => Question::Numbers {
                    column,
                    spans,
                    limit: sequence::PAGE,
                },
            };
            match recommender.loader().new_rows(of, question).await? {
                Answer::Newest(newest) => poll.newest(newest),
                Answer::Numbers(rows) => poll.rows(rows),
                Answer::Order(_) | Answer::Times(_) => return Err(unexpected()),
            }
        }
        Ok(())
    }

    fn is_due_again(&self, now: Duration) -> bool {
        match self.progress {
            Progress::Unknown => true,
            Progress::NotFollowed(looked) => now >= looked + RECHECK_PAUSE,
            Progress::Sequence { .. } | Progress::Time(_) => false,
        }
    }

    /// Determines by which column the table is followed. If the column has changed, the state starts again at unknown.
    async fn check(&mut self, recommender: &Recommender, now: Clock) -> Result<(), Error> {
        let answer = recommender
            .loader()
            .new_rows(self.of, Question::Order)
            .await?;
        let Answer::Order(order) = answer else {
            return Err(unexpected());
        };
        let table = &self.name;
        let is_news = self.reported.as_ref() != Some(&order);
        match (&order, &self.progress) {
            (Order::None(reason), _) => {
                if is_news {
                    warn!(table, reason, "new rows cannot be followed");
                }
                self.progress = Progress::NotFollowed(now.elapsed);
            }
            (Order::Sequence(column), Progress::Sequence { column: known, .. })
                if column == known => {}
            (Order::Time, Progress::Time(_)) => {}
            (Order::Sequence(column), _) => {
                info!(table, column = &**column, "new rows are followed");
                let column = Arc::clone(column);
                let kept = kept(recommender, &field(table, &column)).await;
                let state = kept.and_then(|text| Sequence::parse(&text, now.elapsed));
                let state = state.unwrap_or_else(Sequence::unknown);
                self.progress = Progress::Sequence { column, state };
            }
            (Order::Time, _) => {
                info!(table, "new rows are followed by time");
                let kept = kept(recommender, &field(table, "")).await;
                let newest = kept.and_then(|text| text.parse().ok());
                self.progress = Progress::Time(newest.map_or_else(
                    || TimeWindow::new(self.overlap),
                    |newest| TimeWindow::from_newest(self.overlap, newest),
                ));
            }
        }
        self.reported = Some(order);
        Ok(())
    }

    /// Whether rows were seen since the position was kept.
    pub fn has_changed(&self) -> bool {
        self.text(Duration::ZERO)
            .is_some_and(|(_, text)| text != self.kept)
    }

    /// The field of the shared cache for the position, and the position as text.
    pub fn position(&mut self, clock: &Clock) -> Option<(String, String)> {
        // The comparison ignores the ages of gaps, which change all the time.
        self.kept = self.text(Duration::ZERO)?.1;
        self.text(clock.elapsed)
    }

    fn text(&self, now: Duration) -> Option<(String, String)> {
        match &self.progress {
            Progress::Sequence { column, state } if state.is_known() => {
                Some((field(&self.name, column), state.text(now)))
            }
            Progress::Time(window) if window.is_filled() => {
                Some((field(&self.name, ""), window.newest()?.to_string()))
            }
            _ => None,
        }
    }
}

/// The field for the position of a table that is followed by `column`, or by time.
fn field(table: &str, column: &str) -> String {
    format!("p:{:016x}", xxh3_64(format!("{table}`{column}").as_bytes()))
}

async fn kept(recommender: &Recommender, field: &str) -> Option<String> {
    let texts = recommender.shared()?.positions(&[field]).await?;
    texts.into_iter().next()?
}

fn unexpected() -> Error {
    Error {
        reason: Reason::Other,
        scope: Scope::Statement,
        source: "the answer is not one to the question".into(),
    }
}
