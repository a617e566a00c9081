//! How many connections the server allows this process's account, as the open sessions report it.
//!
//! MySQL and MariaDB count a session only if its account had a limit when the session was opened. Any other session is
//! never counted, and always reports 0. All counted sessions of an account report the same limit. In MySQL this is
//! always the current limit. In MariaDB it is the limit at the account's latest login, and a removed limit is still
//! reported. So the newest report of a new session, or of a session whose report has changed, counts too, even if that
//! session has been closed.

use super::metrics::LoaderMetrics;
use super::pool::Pool;
use crate::store::AccountLimit;
use reckon_contract::health::ConnectionLimit;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by everything that opens sessions.
pub struct Limits {
    /// Limits under which connections beyond the base are allowed; `None`: the limit does not matter.
    permitted: Option<RangeInclusive<u32>>,
    pool: Option<Arc<Pool>>,
    metrics: Arc<LoaderMetrics>,
    sessions: Mutex<Sessions>,
}

/// What each open session reports; `None`: the store has no such limit.
#[derive(Default)]
struct Sessions {
    next: u64,
    open: BTreeMap<u64, Option<AccountLimit>>,
    /// The newest report of a session that was new, or whose report had changed.
    newest: Option<AccountLimit>,
}

impl Sessions {
    fn observed(&mut self, session: u64, limit: Option<AccountLimit>) {
        if self.open.get(&session) != Some(&limit) {
            self.newest = limit;
        }
        let counted = limit.filter(|limit| limit.connections > 0);
        if let Some(newest) = counted {
            let others = self.open.values_mut().flatten();
            for other in others.filter(|other| other.account == newest.account) {
                if other.connections > 0 {
                    other.connections = newest.connections;
                }
            }
        }
        self.open.insert(session, limit);
    }

    fn least_strict(&self) -> Option<ConnectionLimit> {
        let open = || self.open.values();
        let mut limits: Vec<AccountLimit> = open().copied().flatten().collect();
        let first = *limits.first()?;
        limits.extend(self.newest);
        let is_limited = |limit: &AccountLimit| limit.connections > 0;
        let is_complete = open().all(Option::is_some) && limits.iter().all(is_limited);
        let greatest = limits.iter().map(|limit| limit.connections).max();
        let is_one = limits.iter().all(|limit| limit.account == first.account);
        Some(ConnectionLimit {
            account: is_one.then(|| format!("{:016x}", first.account)),
            connections: greatest.filter(|_| is_complete).unwrap_or_default(),
        })
    }
}

impl Limits {
    pub fn new(
        permitted: Option<RangeInclusive<u32>>,
        pool: Option<Arc<Pool>>,
        metrics: Arc<LoaderMetrics>,
    ) -> Self {
        Self {
            permitted,
            pool,
            metrics,
            sessions: Mutex::default(),
        }
    }

    /// A session has been opened. It counts until the guard is dropped.
    pub fn opened(self: &Arc<Self>, limit: Option<AccountLimit>) -> OpenSession {
        let mut sessions = self.sessions();
        let number = sessions.next;
        sessions.next += 1;
        sessions.observed(number, limit);
        self.publish(&sessions);
        drop(sessions);
        OpenSession {
            limits: Arc::clone(self),
            number,
        }
    }

    /// The least strict limit of all open sessions; `None`: no session is open, or the store has no such limit.
    pub fn least_strict(&self) -> Option<ConnectionLimit> {
        self.sessions().least_strict()
    }

    /// Called with the sessions locked, so that the newest state is published last.
    fn publish(&self, sessions: &Sessions) {
        let limit = sessions.least_strict();
        let connections = limit.map_or(0, |limit| limit.connections);
        self.metrics.account_limit.set(connections.into());
        if let (Some(permitted), Some(pool)) = (&self.permitted, &self.pool) {
            let is_permitted = permitted.contains(&connections);
            pool.permit(is_permitted || sessions.open.is_empty());
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open session.
pub struct OpenSession {
    limits: Arc<Limits>,
    number: u64,
}

impl OpenSession {
    /// The session reports this limit now.
    pub fn observed(&self, limit: Option<AccountLimit>) {
        let mut sessions = self.limits.sessions();
        sessions.observed(self.number, limit);
        self.limits.publish(&sessions);
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let mut sessions = self.limits.sessions();
        sessions.open.remove(&self.number);
        self.limits.publish(&sessions);
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;
    use crate::metrics::Metrics;
    use crate::store::AccountLimit;
    use reckon_contract::Tuning;
    use std::sync::Arc;

    fn limits() -> Arc<Limits> {
        let metrics = Arc::clone(&Metrics::new(&Tuning::default()).loader);
        Arc::new(Limits::new(None, None, metrics))
    }

    fn limit(account: u64, connections: u32) -> AccountLimit {
        AccountLimit {
            account,
            connections,
        }
    }

    fn connections(limits: &Limits) -> Option<u32> {
        limits.least_strict().map(|limit| limit.connections)
    }

    #[test]
    fn a_session_that_the_server_does_not_count_has_no_limit() {
        let limits = limits();
        assert_eq!(connections(&limits), None);
        let first = limits.opened(Some(limit(1, 0)));
        let _second = limits.opened(Some(limit(1, 9)));
        assert_eq!(connections(&limits), Some(0));
        assert_eq!(limits.metrics.account_limit.get(), 0);
        drop(first);
        assert_eq!(connections(&limits), Some(9));
        assert_eq!(limits.metrics.account_limit.get(), 9);
    }

    #[test]
    fn the_newest_limit_is_that_of_all_counted_sessions_of_the_account() {
        let limits = limits();
        let first = limits.opened(Some(limit(1, 9)));
        let second = limits.opened(Some(limit(1, 7)));
        assert_eq!(connections(&limits), Some(7));
        first.observed(Some(limit(1, 5)));
        assert_eq!(connections(&limits), Some(5));
        let other = limits.opened(Some(limit(2, 20)));
        let reported = limits.least_strict().unwrap();
        assert_eq!((reported.account, reported.connections), (None, 20));
        drop((first, second, other));
        assert_eq!(limits.least_strict(), None);
    }

    /// In MariaDB, older sessions still report a removed limit.
    #[test]
    fn a_limit_that_was_removed_stays_removed_when_the_session_that_found_it_is_closed() {
        let limits = limits();
        let first = limits.opened(Some(limit(1, 9)));
        drop(limits.opened(Some(limit(1, 0))));
        assert_eq!(connections(&limits), Some(0));
        first.observed(Some(limit(1, 9)));
        assert_eq!(connections(&limits), Some(0));
        first.observed(Some(limit(1, 8)));
        assert_eq!(connections(&limits), Some(8));
    }

    #[test]
    fn a_store_without_such_a_limit_reports_none() {
        let limits = limits();
        let _session = limits.opened(None);
        assert_eq!(limits.least_strict(), None);
    }
}
