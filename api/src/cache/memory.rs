//! The memory cache of this process: finished bodies, limited by their size in bytes.

mod metrics;

pub use metrics::{Evictions, MemoryMetrics};

use super::generation::{Generation, Invalidation};
use crate::model::UserId;
use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::{Expiry, policy::EvictionPolicy, sync::Cache};
use std::time::{Duration, Instant};

/// Size of an entry without its body. A little more than was measured (docs/scaling.md), so that the limit holds.
const ENTRY_OVERHEAD_BYTES: usize = 470;

/// One user's result.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The JSON.
    pub body: Bytes,
    /// Tag of the trained model with which the result was computed.
    pub model: u64,
    /// The generation of the user's data when the result was loaded.
    pub generation: Generation,
    /// When the look-up that returned the result began. The result was current at that time.
    pub confirmed: Instant,
    validity: Validity,
}

/// For how many milliseconds after [`Entry::confirmed`] a result may be served. Two instants instead would make an entry a
/// size class of the allocator larger (measured: 52 bytes).
#[derive(Clone, Copy, Debug)]
struct Validity {
    fresh: u32,
    stale: u32,
}

/// Until when a result may be served.
#[derive(Clone, Copy, Debug)]
pub struct Until {
    /// As fresh.
    pub fresh: Instant,
    /// Marked as stale, while the store is unavailable.
    pub stale: Instant,
}

impl Entry {
    /// The times of `until` are rounded down to milliseconds, and are at most 49 days after `confirmed`.
    #[must_use]
    pub fn new(
        body: Bytes,
        model: u64,
        generation: Generation,
        confirmed: Instant,
        until: Until,
    ) -> Self {
        let milliseconds = |end: Instant| {
            let valid = end.saturating_duration_since(confirmed);
            u32::try_from(valid.as_millis()).unwrap_or(u32::MAX)
        };
        Self {
            body,
            model,
            generation,
            confirmed,
            validity: Validity {
                fresh: milliseconds(until.fresh),
                stale: milliseconds(until.stale),
            },
        }
    }

    /// Whether the result may be served as fresh.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        now < self.confirmed + Duration::from_millis(self.validity.fresh.into())
    }

    /// Until when the result may be served, marked as stale, while the store is unavailable.
    #[must_use]
    pub fn stale_until(&self) -> Instant {
        self.confirmed + Duration::from_millis(self.validity.stale.into())
    }
}

/// Results by user. When the limit is reached, the results that are used most often are kept (`TinyLFU`). Clones share their
/// entries.
#[derive(Clone)]
pub struct MemoryCache(Cache<UserId, Entry, foldhash::fast::RandomState>);

impl MemoryCache {
    /// A cache of at most `max_bytes`; 0 caches nothing. Entries that the cache drops without an invalidation are
    /// counted in `evictions`.
    #[must_use]
    pub fn new(max_bytes: u64, evictions: Evictions) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|user, entry: &Entry| {
                let user = match user {
                    UserId::Integer(_) | UserId::Unsigned(_) => 0,
                    UserId::Text(id) => id.len(),
                };
                let bytes = user + entry.body.len() + ENTRY_OVERHEAD_BYTES;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .eviction_policy(EvictionPolicy::tiny_lfu())
            .expire_after(UntilStale)
            .eviction_listener(move |_, _, cause| match cause {
                RemovalCause::Size => _ = evictions.size.inc(),
                RemovalCause::Expired => _ = evictions.expired.inc(),
                RemovalCause::Explicit | RemovalCause::Replaced => {}
            })
            .build_with_hasher(foldhash::fast::RandomState::default());
        Self(cache)
    }

    /// The user's entry, unless it was invalidated. The entry can be past `fresh_until`.
    #[must_use]
    pub fn get(&self, user: &UserId, current: Generation) -> Option<Entry> {
        self.0.get(user).filter(|entry| entry.generation == current)
    }

    /// Stores an entry.
    pub fn insert(&self, user: UserId, entry: Entry) {
        self.0.insert(user, entry);
    }

    /// Removes the entries of an invalidation. This only removes bytes: whether an entry is valid depends on its generation.
    pub fn remove(&self, what: &Invalidation) {
        match what {
            Invalidation::Users(users) => users.iter().for_each(|user| self.remove_user(user)),
            Invalidation::All => self.0.invalidate_all(),
        }
    }

    /// Removes the user's entry.
    pub fn remove_user(&self, user: &UserId) {
        self.0.invalidate(user);
    }

    /// Number of entries, outdated ones included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.entry_count()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes, overhead included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.weighted_size()
    }
}

/// Expires entries at the end of their stale time.
struct UntilStale;

impl Expiry<UserId, Entry> for UntilStale {
    fn expire_after_create(&self, _: &UserId, entry: &Entry, now: Instant) -> Option<Duration> {
        Some(entry.stale_until().saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &UserId,
        entry: &Entry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.stale_until().saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Evictions, MemoryCache, Until};
    use crate::cache::generation::{Generations, Invalidation};
    use crate::model::UserId;
    use std::time::{Duration, Instant};

    fn entry(generations: &Generations, user: &UserId) -> Entry {
        let now = Instant::now();
        let until = Until {
            fresh: now + Duration::from_mins(1),
            stale: now + Duration::from_mins(2),
        };
        Entry::new(
            vec![b'x'; 600].into(),
            0,
            generations.current(user),
            now,
            until,
        )
    }

    #[test]
    fn an_entry_is_fresh_until_its_end_to_the_millisecond() {
        let confirmed = Instant::now();
        let after = |milliseconds| confirmed + Duration::from_millis(milliseconds);
        let until = Until {
            fresh: after(1000) + Duration::from_micros(999),
            stale: after(3000),
        };
        let generation = Generations::default().current(&UserId::Integer(1));
        let entry = Entry::new("{}".into(), 0, generation, confirmed, until);
        assert!(entry.is_fresh(after(999)));
        assert!(!entry.is_fresh(after(1000)));
        assert_eq!(entry.stale_until(), after(3000));
    }

    #[test]
    fn an_entry_has_80_bytes_at_most() {
        assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    }

    #[test]
    fn an_entry_from_before_an_invalidation_is_not_served() {
        let (cache, generations, user) = (
            MemoryCache::new(1 << 20, Evictions::default()),
            Generations::default(),
            UserId::Integer(1),
        );
        cache.insert(user.clone(), entry(&generations, &user));
        assert!(cache.get(&user, generations.current(&user)).is_some());
        generations.invalidate(&user);
        assert!(cache.get(&user, generations.current(&user)).is_none());
    }

    #[test]
    fn the_bytes_stay_within_the_limit() {
        let (cache, generations) = (
            MemoryCache::new(100_000, Evictions::default()),
            Generations::default(),
        );
        for id in 0..1000 {
            cache.insert(
                UserId::Integer(id),
                entry(&generations, &UserId::Integer(id)),
            );
        }
        assert!(cache.len() <= 100);
        assert!(cache.bytes() <= 100_000);
    }

    #[test]
    fn a_cache_of_zero_bytes_stores_nothing() {
        let (cache, generations) = (
            MemoryCache::new(0, Evictions::default()),
            Generations::default(),
        );
        cache.insert(UserId::Integer(1), entry(&generations, &UserId::Integer(1)));
        assert!(cache.is_empty());
    }

    #[test]
    fn an_invalidation_removes_entries() {
        let (cache, generations, user) = (
            MemoryCache::new(1 << 20, Evictions::default()),
            Generations::default(),
            UserId::Integer(1),
        );
        cache.insert(user.clone(), entry(&generations, &user));
        assert_eq!(
            (cache.len(), cache.is_empty(), cache.bytes()),
            (1, false, 1070)
        );
        for what in [Invalidation::All, Invalidation::Users(vec![user.clone()])] {
            cache.insert(user.clone(), entry(&generations, &user));
            cache.remove(&Invalidation::Users(vec![UserId::Integer(2)]));
            assert_eq!(cache.len(), 1);
            cache.remove(&what);
            assert_eq!((cache.len(), cache.is_empty(), cache.bytes()), (0, true, 0));
        }
    }

    #[test]
    fn an_entry_is_dropped_when_it_is_too_old_to_be_served_stale() {
        let (cache, generations, user) = (
            MemoryCache::new(1 << 20, Evictions::default()),
            Generations::default(),
            UserId::Integer(1),
        );
        let current = generations.current(&user);
        let lasting = entry(&generations, &user);
        let until = Until {
            fresh: lasting.confirmed,
            stale: lasting.confirmed,
        };
        let ended = Entry::new(lasting.body.clone(), 0, current, lasting.confirmed, until);
        // The entry may be the user's first one, or replace another one.
        for (entry, is_held) in [
            (&ended, false),
            (&lasting, true),
            (&lasting, true),
            (&ended, false),
        ] {
            cache.insert(user.clone(), entry.clone());
            assert_eq!(cache.get(&user, current).is_some(), is_held);
        }
    }

    /// Processor seconds of this thread (proc(5), `schedstat`); other work of the machine is not included.
    fn thread_seconds() -> f64 {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanoseconds: u64 = spent.split(' ').next().unwrap().parse().unwrap();
        Duration::from_nanos(nanoseconds).as_secs_f64()
    }

    /// Processor seconds for an insertion into a full cache of about `entries` entries, the best of three rounds.
    fn insertion_seconds(entries: u64) -> f64 {
        const INSERTIONS: u32 = 20_000;
        let (cache, generations) = (
            MemoryCache::new(entries * 1000, Evictions::default()),
            Generations::default(),
        );
        let mut ids = (0..).map(UserId::Integer);
        let mut insert = |count: u64| {
            for id in ids.by_ref().take(usize::try_from(count).unwrap()) {
                cache.insert(id.clone(), entry(&generations, &id));
            }
        };
        insert(2 * entries);
        let rounds = (0..3).map(|_| {
            let began = thread_seconds();
            insert(INSERTIONS.into());
            (thread_seconds() - began) / f64::from(INSERTIONS)
        });
        rounds.fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn an_insertion_into_a_full_cache_does_not_scan_all_entries() {
        let (small, large) = (insertion_seconds(1000), insertion_seconds(100_000));
        println!("{small:e} s into 1,000 entries, {large:e} s into 100,000");
        assert!(large < 20.0 * small, "{large} s against {small} s");
    }
}
