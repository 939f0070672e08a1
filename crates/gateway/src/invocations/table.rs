//! The table of invocations: by id, how many whose they are, and in which order they ended. No IO.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use innkeep_types::{InvocationId, InvocationState, SessionOwner, UnixMillis, limits};

use super::entry::Entry;
use super::{AsyncLimits, Full, InvocationCounts};
use crate::spool::Room;

/// How many that were removed may wait for their time besides as many as there are.
const MIN_ENDED: usize = 64;

/// All invocations.
#[derive(Debug)]
pub(crate) struct Table {
    limits: AsyncLimits,
    entries: HashMap<String, Arc<Entry>>,
    owners: HashMap<[u8; 32], Held>,
    /// Those that ended, in that order. One that was removed since stays until its time.
    ended: VecDeque<(UnixMillis, InvocationId)>,
    counts: InvocationCounts,
}

/// What is one caller's.
#[derive(Debug)]
struct Held {
    running: usize,
    kept: usize,
    room: Arc<Room>,
}

impl Table {
    pub(crate) fn new(limits: AsyncLimits) -> Self {
        let counts = InvocationCounts::default();
        Self { limits, entries: HashMap::new(), owners: HashMap::new(), ended: VecDeque::new(), counts }
    }

    /// Adds one of `owner` that runs, made with its room; unless there are too many, of all callers or of this one.
    pub(crate) fn try_add(
        &mut self,
        owner: SessionOwner,
        make: impl FnOnce(&Arc<Room>) -> Entry,
    ) -> Result<Arc<Entry>, Full> {
        let (max_running, max_kept) = (self.limits.max_running, self.limits.max_kept);
        let (running, kept) = self.owners.get(owner.as_bytes()).map_or((0, 0), |held| (held.running, held.kept));
        let full = if self.counts.running >= max_running || running >= part(max_running) {
            Full::Running
        } else if self.counts.kept >= max_kept || kept >= part(max_kept) {
            Full::Kept
        } else {
            return Ok(self.add(owner, make));
        };
        self.refused(full);
        Err(full)
    }

    /// Adds one of `owner`, whatever there is already.
    pub(crate) fn add(&mut self, owner: SessionOwner, make: impl FnOnce(&Arc<Room>) -> Entry) -> Arc<Entry> {
        let share = self.limits.total_bytes.div_ceil(limits::invocations::CALLER_PART as u64);
        let fresh = || Held { running: 0, kept: 0, room: Room::new(share) };
        let held = self.owners.entry(*owner.as_bytes()).or_insert_with(fresh);
        let entry = Arc::new(make(&held.room));
        held.kept += 1;
        self.counts.kept += 1;
        let progress = entry.progress();
        match progress.ended_at {
            None => {
                held.running += 1;
                self.counts.running += 1;
            }
            Some(at) => self.ended.push_back((at, entry.id.clone())),
        }
        self.entries.insert(entry.id.as_str().to_owned(), entry.clone());
        entry
    }

    /// Notes that one that ran has ended.
    pub(crate) fn end(&mut self, entry: &Entry, state: InvocationState, at: UnixMillis) {
        if let Some(held) = self.owners.get_mut(entry.owner.as_bytes()) {
            held.running = held.running.saturating_sub(1);
        }
        self.counts.running = self.counts.running.saturating_sub(1);
        if let Some(nth) = InvocationState::ALL.iter().position(|one| *one == state)
            && let Some(count) = self.counts.ended.get_mut(nth)
        {
            *count += 1;
        }
        self.ended.push_back((at, entry.id.clone()));
    }

    /// Counts what a limit refused.
    pub(crate) fn refused(&mut self, full: Full) {
        let [running, kept, bytes] = &mut self.counts.refused;
        *match full {
            Full::Running => running,
            Full::Kept => kept,
            Full::Bytes => bytes,
        } += 1;
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries.get(id).cloned()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(crate) fn counts(&self) -> InvocationCounts {
        self.counts
    }

    /// Removes one that has ended.
    pub(crate) fn remove(&mut self, id: &InvocationId) -> Option<Arc<Entry>> {
        let entry = self.entries.remove(id.as_str())?;
        self.counts.kept = self.counts.kept.saturating_sub(1);
        if let Some(held) = self.owners.get_mut(entry.owner.as_bytes()) {
            held.kept = held.kept.saturating_sub(1);
            if held.kept == 0 {
                self.owners.remove(entry.owner.as_bytes());
            }
        }
        // Now and then, lest what comes and is removed at once grows without end.
        if self.ended.len() > 2 * self.entries.len() + MIN_ENDED {
            self.ended.retain(|(_, id)| self.entries.contains_key(id.as_str()));
        }
        Some(entry)
    }

    /// Removes those whose end is old.
    pub(crate) fn take_old(&mut self, is_old: impl Fn(UnixMillis) -> bool) -> Vec<Arc<Entry>> {
        let mut old = Vec::new();
        while self.ended.front().is_some_and(|(at, _)| is_old(*at)) {
            if let Some((_, id)) = self.ended.pop_front() {
                old.extend(self.remove(&id));
            }
        }
        old
    }
}

/// Returns what one caller may have of it.
fn part(all: usize) -> usize {
    all.div_ceil(limits::invocations::CALLER_PART)
}
