//! Writing events and erasing users: the parts that both databases share.
//!
//! The table `reckon_events` has a digest of each received event's id, and of each erased user. It also has one *lock
//! row*, which is only locked: transactions that store events lock it in shared mode, and an erasure locks it
//! exclusively while it is recorded. So an erasure finds every row of an earlier transaction, and a later transaction
//! finds the erasure.

use super::{Error, Reason};
use crate::model::UserId;
use jiff::{Timestamp, tz::TimeZone};
use reckon_contract::tables::{Table, Tables};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use std::{fmt, future::Future};

/// The table of received events and erased users.
pub(crate) const EVENTS_TABLE: &str = "reckon_events";
/// The columns: a digest, its kind ([`Entry`]), the time of receipt, and the transaction that wrote it.
pub(crate) const EVENTS_COLUMNS: [&str; 4] = ["digest", "kind", "received_at", "batch"];
/// The digest of the lock row.
pub(crate) const LOCK: Digest = [0; 16];
/// The time of the lock row, so that it never counts as old.
pub(crate) const FOREVER: &str = "9999-12-31 00:00:00";

/// The first half of a SHA-256.
pub(crate) type Digest = [u8; 16];

/// The kind of a row of [`EVENTS_TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The lock row.
    Lock = 0,
    /// A received event.
    Event = 1,
    /// An erased user.
    Erasure = 2,
}

/// What a user did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Searched.
    Search,
    /// Bought.
    Purchase,
}

impl Kind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Search, Self::Purchase];

    /// The name in messages of the table for such events.
    fn table(self) -> &'static str {
        match self {
            Self::Search => "of searches",
            Self::Purchase => "of purchases",
        }
    }

    /// The table of such events, if there is one.
    #[must_use]
    pub fn of(self, tables: &Tables) -> Option<Table> {
        match self {
            Self::Search => tables.searches(),
            Self::Purchase => tables.purchases(),
        }
    }
}

/// A table that Reckon writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The table `reckon_events`.
    Events,
    /// The table of such events, whose name is in the mapping.
    Rows(Kind),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Events => EVENTS_TABLE,
            Self::Rows(kind) => kind.table(),
        })
    }
}

/// A valid event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id that its sender chose. Of events with the same id, one is stored.
    pub id: String,
    /// What happened.
    pub kind: Kind,
    /// The user.
    pub user: UserId,
    /// The category.
    pub category: String,
    /// The search string, or the product's name.
    pub text: Option<String>,
    /// When it happened.
    pub time: Timestamp,
}

/// The outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is stored.
    Accepted,
    /// An event with this id was received before.
    Duplicate,
    /// It happened before its user was erased.
    Ignored,
}

/// A field of an event whose value a column can reject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The user.
    User,
    /// When it happened.
    Time,
    /// The category.
    Category,
    /// The search string, or the product's name.
    Text,
}

impl Field {
    /// Its name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user_id",
            Self::Time => "time",
            Self::Category => "category",
            Self::Text => "text",
        }
    }
}

/// Why an event cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its position in the request, if the database reports it.
    pub index: Option<u16>,
    /// The field whose value the column rejects, if the database reports it.
    pub field: Option<Field>,
    /// Whether the value does not fit into its column; otherwise a constraint or a trigger rejects the row.
    pub does_not_fit: bool,
}

/// A privilege on a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// To read rows.
    Select,
    /// To insert rows.
    Insert,
    /// To delete rows.
    Delete,
}

impl fmt::Display for Privilege {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Select => "SELECT",
            Self::Insert => "INSERT",
            Self::Delete => "DELETE",
        })
    }
}

/// Why the database cannot be written to until a person changes it: a closed set of sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A table is missing.
    #[error("the table {0} does not exist: run `reckon-api migrate`")]
    NoTable(Place),
    /// A table lacks a column, demands a value in another one, or is a view that accepts no rows.
    #[error(
        "the table {0} does not accept the rows of Reckon: a column is missing or requires a value, or it is a view"
    )]
    Mismatch(Place),
    /// The account lacks a privilege on a table.
    #[error("the database user lacks the privilege {0} on the table {1}")]
    Denied(Privilege, Place),
    /// The server, or the file, accepts no writes.
    #[error("the database is read-only")]
    ReadOnly,
}

/// A failed operation.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing is stored, because another session held a lock; the session is usable, and a retry may succeed.
    #[error("another session holds a lock")]
    Busy(#[source] Error),
    /// Nothing is stored, and a retry has the same result; the session is usable.
    #[error("the database rejects an event")]
    Rejected(Rejected, #[source] Error),
    /// Nothing is stored; the session is usable.
    #[error("{0}")]
    Unusable(Unusable, #[source] Error),
    /// Nothing is stored.
    #[error("{0}")]
    Failed(#[source] Error),
    /// The answer to a COMMIT was lost: either everything or nothing is stored.
    #[error("the answer to a COMMIT was lost")]
    Unknown(#[source] Error),
}

impl WriteError {
    /// The database's error.
    #[must_use]
    pub fn cause(&self) -> &Error {
        let (Self::Busy(error)
        | Self::Rejected(_, error)
        | Self::Unusable(_, error)
        | Self::Failed(error)
        | Self::Unknown(error)) = self;
        error
    }
}

/// A database that events are written to.
pub trait WriteStore: Send + Sync + 'static {
    /// One session.
    type Session: WriteSession;

    /// Time after which the server has ended any statement of a session, apart from waits for several locks in a row.
    fn statement_limit(&self) -> Duration;

    /// Opens a session.
    fn connect(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;
}

/// One session that writes. It runs one statement at a time. It is unusable after a call that was not awaited to its
/// end, and after a [`WriteError::Failed`] or [`WriteError::Unknown`] with a scope other than a statement.
pub trait WriteSession: Send + 'static {
    /// Succeeds if the tables and privileges that [`Self::insert`] needs exist.
    fn check(&mut self) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Stores new events in one transaction; the outcomes are in the order of `events`.
    fn insert(
        &mut self,
        events: &[&Event],
    ) -> impl Future<Output = Result<Vec<Outcome>, WriteError>> + Send;

    /// Records that the user is erased: from now on, older events of the user are ignored.
    fn begin_erasure(
        &mut self,
        user: &UserId,
    ) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Deletes at most `most` rows of the user; returns how many. 0 if there is no such table.
    fn erase(
        &mut self,
        user: &UserId,
        kind: Kind,
        most: u32,
    ) -> impl Future<Output = Result<u64, WriteError>> + Send;

    /// Called once after the last [`Self::erase`].
    fn end_erasure(&mut self) -> impl Future<Output = ()> + Send;

    /// Deletes at most `most` digests that were received before this time; returns how many.
    fn purge(
        &mut self,
        before: Timestamp,
        most: u32,
    ) -> impl Future<Output = Result<u64, WriteError>> + Send;

    /// Keeps the session from being closed for idleness.
    fn ping(&mut self) -> impl Future<Output = Result<(), Error>> + Send;

    /// How many connections the server allowed the session's account when it was opened; `None`: the store has no such limit.
    fn account_limit(&self) -> Option<super::AccountLimit> {
        None
    }

    /// Ends the session with a message to the server.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// An error of this program, for an answer that a server should not give.
pub(crate) fn unexpected(what: &'static str) -> Error {
    Error {
        reason: Reason::Other,
        scope: super::Scope::Session,
        source: what.into(),
    }
}

fn digest(kind: Entry, name: &[u8]) -> Digest {
    let hash = Sha256::new()
        .chain_update([kind as u8])
        .chain_update(name)
        .finalize();
    let mut digest = Digest::default();
    digest.copy_from_slice(&hash[..16]);
    digest
}

/// The digest as a literal of SQL.
pub(crate) fn literal(digest: Digest) -> String {
    format!("X'{:032x}'", u128::from_be_bytes(digest))
}

/// The digest of an event.
pub(crate) fn of_event(id: &str) -> Digest {
    digest(Entry::Event, id.as_bytes())
}

/// The digest of a user.
pub(crate) fn of_user(user: &UserId) -> Digest {
    digest(Entry::Erasure, user.to_string().as_bytes())
}

/// The time in UTC as `2026-11-28 10:30:00.000000`: strings sort in the order of the times.
pub(crate) fn utc(time: Timestamp) -> String {
    let time = time.to_zoned(TimeZone::UTC).datetime();
    let microseconds = time.subsec_nanosecond() / 1000;
    format!(
        "{} {:02}:{:02}:{:02}.{microseconds:06}",
        time.date(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// The digests of the events to be stored together.
pub(crate) struct Digests {
    /// The digest of each id, with the position of its first event. They are sorted, because sessions that insert in
    /// the same order rarely deadlock.
    pub events: BTreeMap<Digest, usize>,
    /// The digest of each user.
    pub users: BTreeSet<Digest>,
}

impl Digests {
    pub fn of(events: &[&Event]) -> Self {
        let mut first = BTreeMap::new();
        for (position, event) in events.iter().enumerate() {
            first.entry(of_event(&event.id)).or_insert(position);
        }
        Self {
            events: first,
            users: events.iter().map(|event| of_user(&event.user)).collect(),
        }
    }

    /// Every digest.
    pub fn all(&self) -> impl Iterator<Item = &Digest> {
        self.events.keys().chain(&self.users)
    }

    /// The outcome of each event, from the digests that this transaction has written, and from the times at which users
    /// were erased.
    pub fn outcomes(
        &self,
        events: &[&Event],
        written: &BTreeSet<Digest>,
        erased: &BTreeMap<Digest, String>,
    ) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Duplicate; events.len()];
        for (digest, &position) in &self.events {
            if written.contains(digest) {
                let event = events[position];
                let erasure = erased.get(&of_user(&event.user));
                let is_erased = erasure.is_some_and(|erasure| utc(event.time) <= *erasure);
                outcomes[position] = if is_erased {
                    Outcome::Ignored
                } else {
                    Outcome::Accepted
                };
            }
        }
        outcomes
    }
}

/// The positions of the accepted events of this kind.
pub(crate) fn accepted(events: &[&Event], outcomes: &[Outcome], kind: Kind) -> Vec<usize> {
    let is_wanted = |position: &usize| {
        outcomes[*position] == Outcome::Accepted && events[*position].kind == kind
    };
    (0..events.len()).filter(is_wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::{Digests, Event, Kind, Outcome, accepted, of_event, of_user, utc};
    use crate::model::UserId;
    use std::collections::{BTreeMap, BTreeSet};

    fn event(id: &str, user: i64, time: &str) -> Event {
        Event {
            id: id.to_owned(),
            kind: Kind::Search,
            user: UserId::Integer(user),
            category: "books".to_owned(),
            text: None,
            time: time.parse().unwrap(),
        }
    }

    #[test]
    fn an_event_and_a_user_of_the_same_name_have_different_digests() {
        assert_ne!(of_event("7"), of_user(&UserId::Integer(7)));
        assert_ne!(of_event("7"), of_event("8"));
    }

    #[test]
    fn times_sort_as_strings() {
        let times = [
            "2026-11-28T10:30:00Z",
            "2026-11-28T11:30:00.5+01:00",
            "2026-11-28T10:30:01Z",
        ];
        let texts = times.map(|time| utc(time.parse().unwrap()));
        assert_eq!(texts[1], "2026-11-28 10:30:00.500000");
        assert!(texts.is_sorted(), "{texts:?}");
    }

    #[test]
    fn of_two_events_with_one_id_the_first_counts_and_old_ones_of_an_erased_user_do_not() {
        let events = [
            event("a", 1, "2026-11-28T10:00:00Z"),
            event("a", 2, "2026-11-28T10:00:00Z"),
            event("b", 3, "2026-11-28T10:00:00Z"),
            event("c", 3, "2026-11-28T10:00:00.000001Z"),
            event("known", 1, "2026-11-28T10:00:00Z"),
        ];
        let events: Vec<&Event> = events.iter().collect();
        let digests = Digests::of(&events);
        assert_eq!(digests.all().count(), 4 + 3);
        let written: BTreeSet<_> = ["a", "b", "c"].map(of_event).into();
        let erased = BTreeMap::from([(of_user(&UserId::Integer(3)), utc(events[2].time))]);
        let outcomes = digests.outcomes(&events, &written, &erased);
        assert_eq!(
            outcomes,
            [
                Outcome::Accepted,
                Outcome::Duplicate,
                Outcome::Ignored,
                Outcome::Accepted,
                Outcome::Duplicate
            ]
        );
        assert_eq!(accepted(&events, &outcomes, Kind::Search), [0, 3]);
        assert_eq!(accepted(&events, &outcomes, Kind::Purchase), [0; 0]);
    }
}
