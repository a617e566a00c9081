//! The quantities that are measured. Each has a list of an answer, the policy that fills the list, and the number of
//! rows that the policy reads.

/// What is to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// The next purchases of all users: NDCG@10.
    Basket,
    /// The same for users with at most 30 rows.
    Cold,
    /// The next purchases in categories that are not recommended and were not bought for some time: NDCG@5.
    NotBought,
    /// The same for categories that were never bought.
    NeverBought,
    /// The same for categories that are not in the user's newest 100 rows.
    NotInNewest100,
}

impl List {
    /// Its name in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Basket => "basket",
            Self::Cold => "cold",
            Self::NotBought => "explore-not-bought",
            Self::NeverBought => "explore-never-bought",
            Self::NotInNewest100 => "explore-not-in-newest-100",
        }
    }
}

/// What fills a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// One list for all users: by the share of baskets. In lists to explore: by the number of users in the last 30
    /// days.
    Popularity,
    /// The algorithm `Classic`.
    Classic,
    /// The number of the user's rows of a category.
    RowCounts,
    /// The number of days on which the user bought a category.
    DayCounts,
    /// The algorithm `NextBasket` without a model.
    OwnDays,
    /// The algorithm `NextBasket`.
    NextBasket,
    /// Not a policy: `NextBasket` minus `Classic` with 100 rows.
    Gain,
}

impl Policy {
    /// Its name in tables and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Popularity => "popularity",
            Self::Classic => "classic",
            Self::RowCounts => "row counts",
            Self::DayCounts => "day counts",
            Self::OwnDays => "own days only",
            Self::NextBasket => "nextBasket",
            Self::Gain => "nextBasket - classic(100)",
        }
    }
}

/// The quantity that a figure measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Measure {
    /// What is to be predicted.
    pub list: List,
    /// What fills the list.
    pub policy: Policy,
    /// Number of newest rows that are read; 0 where none are.
    pub length: u32,
}
