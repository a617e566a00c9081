//! Where answers come from.

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The memory cache of this process.
    Memory,
    /// The shared cache.
    Shared,
    /// The store.
    Store,
    /// A cache, past its age limit, because the store could not be asked.
    Stale,
}

impl Source {
    /// As a label value.
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
