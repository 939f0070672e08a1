//! The last requests of each runtime, for whoever wonders what became of theirs: which headers its agent did not get, above all. In
//! memory only, of requests that were let in only, and nobody waits for it: a record that finds every place taken is counted instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderName;
use innkeep_types::{RequestId, RuntimeId, SessionId, UnixMillis};
use parking_lot::Mutex;

/// Parts of a ring, each with a lock of its own, so that requests at one time hardly ever meet. Source: our choice.
const SHARDS: usize = 4;

/// Requests that a part keeps. Source: our choice.
const KEPT: usize = 16;

/// Names that one record keeps, and their bytes together. Source: our choice: more than any client of an SDK sends.
const MAX_NAMES: usize = 40;
const MAX_NAME_BYTES: usize = 1024;

/// Rings at one time before those are dropped that nobody uses. Source: our choice: the default of runtimes.
const MAX_RINGS: usize = 1000;

/// One request that was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentRequest {
    /// The request.
    pub id: RequestId,
    /// What was asked for, `InvokeAgentRuntime`.
    pub operation: &'static str,
    /// In which session.
    pub session: Option<SessionId>,
    /// When its head was here.
    pub at: UnixMillis,
    /// From then to the head of its answer.
    pub answered_after: Duration,
    /// The answer's status.
    pub status: u16,
    /// What its agent did not get, in lower case: names only.
    pub dropped: Dropped,
}

/// Names of headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// As many as are kept.
    pub names: Vec<HeaderName>,
    /// Those that are not.
    pub n_more: usize,
}

impl<'a> FromIterator<&'a HeaderName> for Dropped {
    fn from_iter<I: IntoIterator<Item = &'a HeaderName>>(all: I) -> Self {
        let (mut dropped, mut n_bytes) = (Self::default(), 0);
        for name in all {
            n_bytes += name.as_str().len();
            if dropped.names.len() < MAX_NAMES && n_bytes <= MAX_NAME_BYTES {
                dropped.names.push(name.clone());
            } else {
                dropped.n_more += 1;
            }
        }
        dropped
    }
}

/// The last requests of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    shards: [Mutex<VecDeque<RecentRequest>>; SHARDS],
    next: AtomicUsize,
    missed: AtomicU64,
}

/// What is known of a runtime's last requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RecentRequests {
    /// The newest first.
    pub requests: Vec<RecentRequest>,
    /// Those of which nothing was kept because there were too many at one time.
    pub missed: u64,
}

impl Ring {
    /// Keeps a record in place of an older one.
    pub(crate) fn push(&self, record: RecentRequest) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let free = (0..SHARDS).find_map(|n| self.shards.get(first.wrapping_add(n) % SHARDS)?.try_lock());
        let Some(mut shard) = free else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let oldest = if shard.len() >= KEPT { shard.pop_front() } else { None };
        shard.push_back(record);
        drop(shard);
        drop(oldest);
    }

    fn list(&self) -> RecentRequests {
        let mut requests: Vec<RecentRequest> = Vec::with_capacity(SHARDS * KEPT);
        for shard in &self.shards {
            requests.extend(shard.lock().iter().cloned());
        }
        requests.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| b.id.as_str().cmp(a.id.as_str())));
        RecentRequests { requests, missed: self.missed.load(Ordering::Relaxed) }
    }
}

/// The rings of all runtimes; clones share them. The lock is for whoever finds out anew what a runtime serves, and for readers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rings(Arc<Mutex<HashMap<RuntimeId, Arc<Ring>>>>);

impl Rings {
    /// Returns the ring of a runtime.
    pub(crate) fn of(&self, runtime: &RuntimeId) -> Arc<Ring> {
        let mut rings = self.0.lock();
        if rings.len() >= MAX_RINGS && !rings.contains_key(runtime) {
            rings.retain(|_, ring| Arc::strong_count(ring) > 1);
        }
        rings.entry(runtime.clone()).or_default().clone()
    }

    /// Returns the last requests of a runtime.
    pub(crate) fn list(&self, runtime: &RuntimeId) -> RecentRequests {
        let ring = self.0.lock().get(runtime).cloned();
        ring.map(|ring| ring.list()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(at: i64) -> RecentRequest {
        RecentRequest {
            id: RequestId::generate(),
            operation: "InvokeAgentRuntime",
            session: None,
            at: UnixMillis(at),
            answered_after: Duration::ZERO,
            status: 200,
            dropped: Dropped::default(),
        }
    }

    fn runtime(n: usize) -> RuntimeId {
        RuntimeId::parse(format!("agent{n}-0123456789")).unwrap()
    }

    #[test]
    fn a_ring_keeps_the_newest_and_tells_them_first() {
        let rings = Rings::default();
        let ring = rings.of(&runtime(0));
        (0..1000).for_each(|at| ring.push(record(at)));
        let found: Vec<i64> = rings.list(&runtime(0)).requests.iter().map(|record| record.at.0).collect();
        assert_eq!(found, (936..1000).rev().collect::<Vec<_>>());
        assert_eq!(rings.list(&runtime(1)), RecentRequests::default());
    }

    #[test]
    fn who_finds_every_place_taken_is_counted_and_does_not_wait() {
        let ring = Ring::default();
        let [a, b, c, d] = &ring.shards;
        let held = (a.lock(), b.lock(), c.lock());
        ring.push(record(1));
        let last = d.lock();
        ring.push(record(2));
        drop((held, last));
        let found = ring.list();
        assert_eq!((found.requests.len(), found.missed), (1, 1));
    }

    #[test]
    fn names_are_bounded_in_number_and_in_bytes() {
        let names: Vec<HeaderName> = (0..100).map(|n| HeaderName::try_from(format!("x-{n}")).unwrap()).collect();
        let dropped: Dropped = names.iter().collect();
        assert_eq!((dropped.names.len(), dropped.n_more), (MAX_NAMES, 60));
        let long = HeaderName::try_from("x".repeat(2000)).unwrap();
        let dropped: Dropped = [&names[0], &long].into_iter().collect();
        assert_eq!((dropped.names.len(), dropped.n_more), (1, 1));
    }

    #[test]
    fn rings_that_nobody_uses_make_room() {
        let rings = Rings::default();
        let used = rings.of(&runtime(0));
        used.push(record(1));
        (1..=MAX_RINGS + 10).for_each(|n| drop(rings.of(&runtime(n))));
        assert!(rings.0.lock().len() <= MAX_RINGS);
        assert_eq!(rings.list(&runtime(0)).requests.len(), 1);
    }
}
