//! The trained model in memory.

use super::quality::Quality;
use crate::folding::key;
use crate::model::Day;
use foldhash::HashMap;
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64;

/// One category of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: Box<str>,
    /// Part of the (user, day) baskets of the last 60 days that contain it.
    pub share: f64,
    /// Of the users who had not bought it before, the part who bought it in the last 30 days.
    pub take_up: f64,
    /// What a purchase of this category contributes to other categories: index and weight.
    pub related: Vec<(u32, f32)>,
}

/// A model that has been checked.
#[derive(Clone, Debug)]
pub struct TrainedModel {
    pub(super) version: String,
    pub(super) created: u64,
    pub(super) as_of: Day,
    pub(super) users: u64,
    pub(super) rows: u64,
    pub(super) quality: Option<Quality>,
    pub(super) categories: Vec<Category>,
    pub(super) index: HashMap<Box<str>, u32>,
    pub(super) tag: u64,
    /// Computed at the first use.
    pub(super) folded: OnceLock<Folded>,
}

/// The categories that count as one if categories are folded.
#[derive(Clone, Debug, Default)]
pub(super) struct Folded {
    /// The position of the most popular category with each key.
    first: HashMap<String, u32>,
    /// The positions of the other categories with these keys.
    others: Vec<u32>,
}

impl TrainedModel {
    /// The version, which changes with the contents: the time of creation and the beginning of the checksum.
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

    /// The quality of the answers; `None`: it was not measured.
    #[must_use]
    pub fn quality(&self) -> Option<&Quality> {
        self.quality.as_ref()
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

    /// The most popular category with this [`key`], as the model writes it.
    #[must_use]
    pub fn folded(&self, key: &str) -> Option<&str> {
        let position = self.forms().first.get(key)?;
        Some(&self.categories[*position as usize].name)
    }

    /// The categories that [`folded`](Self::folded) never returns.
    pub fn other_forms(&self) -> impl Iterator<Item = &str> {
        let others = self.forms().others.iter();
        others.map(|position| &*self.categories[*position as usize].name)
    }

    fn forms(&self) -> &Folded {
        self.folded.get_or_init(|| {
            let mut folded = Folded::default();
            for (position, category) in (0..).zip(&self.categories) {
                let key = key(&category.name);
                if key.is_empty() || folded.first.contains_key(&key) {
                    folded.others.push(position);
                } else {
                    folded.first.insert(key, position);
                }
            }
            folded
        })
    }

    /// Identifies the version in cache entries; never 0, which is "no model".
    #[must_use]
    pub fn tag(&self) -> u64 {
        self.tag
    }
}

/// The tag of a version.
pub(super) fn tag(version: &str) -> u64 {
    xxh3_64(version.as_bytes()).max(1)
}
