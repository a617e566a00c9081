//! The result of a look-up.

use super::connection::Connection;
use super::entry::Found;
use std::sync::Arc;

/// The right to write one user's entry until the next invalidation.
pub struct Lease {
    pub(super) connection: Arc<Connection>,
    pub(super) epoch: Arc<str>,
    pub(super) token: String,
}

/// The result of a look-up for one user.
pub enum Lookup {
    /// A fresh entry.
    Fresh(Found),
    /// No fresh entry: either none, or a stale one, which may be served only while the store is unavailable. With a
    /// lease if one was available.
    Missing(Option<Found>, Option<Lease>),
}
