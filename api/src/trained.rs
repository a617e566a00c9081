//! The trained model: what the rows of all users say about categories. `train` computes it, the ranking reads it.
//!
//! The document is text: a line `reckon-model 1 sha256:HEX` with the checksum of what follows, then JSON. `docs/model.md`
//! describes it, since other programs may write it.

mod current;
mod document;
mod metrics;

pub use current::{CurrentModel, Problem, Published};
pub use document::{Invalid, MAX_BYTES, MAX_CATEGORIES, MAX_RELATED};

use crate::model::Day;
use foldhash::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// One category of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: Box<str>,
    /// Part of the (user, day) baskets of the last 60 days that contain it.
    pub share: f64,
    /// Of the users who had not bought it before, the part who began to in the last 30 days.
    pub take_up: f64,
    /// Contributions to other categories for a user who bought this one, as index and weight.
    pub related: Vec<(u32, f32)>,
}

/// A model that has been checked.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    version: String,
    created: u64,
    as_of: Day,
    users: u64,
    rows: u64,
    categories: Vec<Category>,
    index: HashMap<Box<str>, u32>,
    tag: u64,
}

impl TrainedModel {
    /// A model of `categories`, trained on the data of the days before `as_of`; `created` in seconds since 1970.
    ///
    /// # Errors
    /// Something is not as the document requires.
    pub fn new(
        created: u64,
        as_of: Day,
        (users, rows): (u64, u64),
        mut categories: Vec<Category>,
    ) -> Result<Self, Invalid> {
        document::order(&mut categories);
        document::Document::of(created, as_of, (users, rows), &categories).checked()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The document is damaged, of another format, or contains what no model may.
    pub fn parse(document: &[u8]) -> Result<Self, Invalid> {
        document::parse(document)?.checked()
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        let counts = (self.users, self.rows);
        document::Document::of(self.created, self.as_of, counts, &self.categories).text()
    }

    /// Its name, which changes with its contents: when it was created, and the beginning of the checksum.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// When it was created, in seconds since 1970.
    #[must_use]
    pub fn created(&self) -> u64 {
        self.created
    }

    /// The day after the newest data that it was trained on.
    #[must_use]
    pub fn as_of(&self) -> Day {
        self.as_of
    }

    /// Number of users it was trained on.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.users
    }

    /// Number of rows it was trained on.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Most popular first, then by name.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The position of a category in [`categories`](Self::categories).
    #[must_use]
    pub fn position(&self, category: &str) -> Option<u32> {
        self.index.get(category).copied()
    }

    /// Identifies the version in cache entries; never 0, which is "no model".
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }
}

fn tag(version: &str) -> u64 {
    xxh3_64(version.as_bytes()).max(1)
}
