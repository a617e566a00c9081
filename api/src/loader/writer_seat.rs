//! The link between the loader and the connection for events, which is not the loader's. This connection belongs to the
//! base, and its session also reports the server's limit.

use super::limits::{Limits, OpenSession};
use super::metrics::LoaderMetrics;
use super::pool::{Pool, Role, Seat, Spare};
use crate::store::{AccountLimit, Reason};
use std::sync::Arc;

/// The place of the connection for events.
#[derive(Clone)]
pub struct WriterSeat {
    pub(super) pool: Option<Arc<Pool>>,
    pub(super) limits: Arc<Limits>,
    pub(super) metrics: Arc<LoaderMetrics>,
}

impl WriterSeat {
    /// The connection has been opened. Its limit counts until the guard is dropped.
    #[must_use]
    pub fn opened(&self, limit: Option<AccountLimit>) -> OpenSession {
        self.seat(Seat::Settled);
        self.limits.opened(limit)
    }

    /// An attempt to connect has failed.
    pub fn failed(&self, reason: Reason) {
        if reason == Reason::TooManyConnections {
            self.metrics.refused.inc();
            self.seat(Seat::Refused);
        } else {
            self.seat(Seat::Settled);
        }
    }

    /// A place for a new connection, so that it can be opened before the old one is closed.
    #[must_use]
    pub fn spare(&self) -> Option<Spare> {
        self.pool.as_ref()?.spare()
    }

    fn seat(&self, seat: Seat) {
        if let Some(pool) = &self.pool {
            pool.seat(Role::Writer, seat);
        }
    }
}
