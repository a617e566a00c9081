//! Where results come from.

/// Where a result came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The memory cache of this process.
    Memory,
    /// The shared cache.
    Shared,
    /// The store.
    Store,
    /// A cache, past its time to live, because the store is unavailable.
    Stale,
}

impl Source {
    /// Every source, in the order of their values.
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Shared, Self::Store, Self::Stale];

    /// The source as a label value.
    #[must_use]
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Shared => "shared",
            Self::Store => "store",
            Self::Stale => "stale",
        }
    }
}
