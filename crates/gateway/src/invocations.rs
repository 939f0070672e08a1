//! Invocations whose callers do not wait: accepted, run by tasks of their own, and kept until their results are too old. Owns the table
//! of them; [`accept`] puts them in, [`run`] ends them, [`read`] shows them to those who made them.
//!
//! Each has a record in the store before its caller is told of it, another once it has ended: what a crash interrupted is known
//! afterwards, and said. Results lie in files of their own, which outlive the server.

pub(crate) mod accept;
mod entry;
mod file;
mod load;
mod number;
pub(crate) mod prefer;
pub(crate) mod read;
mod run;
mod stored;
mod table;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use innkeep_store::Store;
use innkeep_types::{Clock, InvocationId, InvocationState, SessionKey, UnixMillis, limits};
use parking_lot::Mutex;

use crate::error::Error;
use crate::spool::Room;
use entry::Entry;
use file::remove;
use table::Table;

pub(crate) use stored::StoredBody;

/// How much of it there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsyncLimits {
    /// From acceptance to the answer's end; default [`limits::invocations::TIMEOUT`].
    pub timeout: Duration,
    /// How long one is kept after its end; default [`limits::invocations::RETENTION`].
    pub retention: Duration,
    /// The largest answer, bytes; default [`limits::MAX_BODY_BYTES`].
    pub max_bytes: u64,
    /// All answers that are kept, together, bytes; default [`limits::invocations::TOTAL_BYTES`].
    pub total_bytes: u64,
    /// Those that run at one time; default [`limits::invocations::MAX_RUNNING`].
    pub max_running: usize,
    /// Those that run and those that are kept; default [`limits::invocations::MAX_KEPT`].
    pub max_kept: usize,
}

impl Default for AsyncLimits {
    fn default() -> Self {
        Self {
            timeout: limits::invocations::TIMEOUT,
            retention: limits::invocations::RETENTION,
            max_bytes: limits::MAX_BODY_BYTES,
            total_bytes: limits::invocations::TOTAL_BYTES,
            max_running: limits::invocations::MAX_RUNNING,
            max_kept: limits::invocations::MAX_KEPT,
        }
    }
}

/// Which limit refused, or cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Too many run.
    Running,
    /// Too many are kept.
    Kept,
    /// The results take too many bytes.
    Bytes,
}

/// One of them, for operators.
#[derive(Debug, Clone)]
pub struct InvocationView {
    /// Its id.
    pub id: InvocationId,
    /// Which agent, and which session.
    pub session: SessionKey,
    /// When it was accepted.
    pub created_at: UnixMillis,
    /// How far it is.
    pub state: InvocationState,
    /// When it ended.
    pub ended_at: Option<UnixMillis>,
    /// The answer's status, once there is one.
    pub status: Option<u16>,
    /// Bytes of its answer that are kept.
    pub bytes: u64,
    /// Why it failed, if it did.
    pub reason: Option<String>,
}

/// How many there are, and were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InvocationCounts {
    /// Those that run.
    pub running: usize,
    /// Those that run and those that are kept.
    pub kept: usize,
    /// Bytes of all answers that are kept.
    pub bytes: u64,
    /// Those that ended, by [`InvocationState::ALL`]; `Running` stays 0.
    pub ended: [u64; 4],
    /// What was refused or cut off by a limit: running, kept, bytes.
    pub refused: [u64; 3],
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Invocations {
    pub(crate) limits: AsyncLimits,
    directory: PathBuf,
    store: Store,
    clock: Arc<dyn Clock>,
    room: Arc<Room>,
    table: Mutex<Table>,
}

impl Invocations {
    /// Returns none, yet. Their results will lie in `directory`.
    pub(crate) fn new(directory: PathBuf, store: Store, clock: Arc<dyn Clock>, limits: AsyncLimits) -> Self {
        let room = Room::new(limits.total_bytes);
        Self { limits, directory, store, clock, room, table: Mutex::new(Table::new(limits)) }
    }

    /// Returns the one with this id, if there is one and it is not too old.
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Entry>> {
        let entry = self.table.lock().get(id)?;
        let is_old = entry.progress().ended_at.is_some_and(|at| self.clock.now().since(at) >= self.limits.retention);
        (!is_old).then_some(entry)
    }

    /// Returns all, newest first.
    pub(crate) fn list(&self) -> Vec<InvocationView> {
        let mut all: Vec<_> = self.table.lock().all().map(|entry| entry.view()).collect();
        all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        all
    }

    pub(crate) fn counts(&self) -> InvocationCounts {
        InvocationCounts { bytes: self.room.used(), ..self.table.lock().counts() }
    }

    /// Removes those that ended too long ago.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        let old = self.table.lock().take_old(|ended| now.since(ended) >= self.limits.retention);
        self.forget(old).await
    }

    /// Removes one that has ended.
    pub(crate) async fn remove(&self, entry: &Entry) -> Result<(), Error> {
        let removed = self.table.lock().remove(&entry.id);
        self.forget(removed.into_iter().collect()).await
    }

    /// Removes what is left of entries that are in the table no more.
    async fn forget(&self, entries: Vec<Arc<Entry>>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
        // The files first: one without a record is found at the next start, and so is a record without its file.
        remove(&self.directory, ids.clone()).await.map_err(Error::Invocations)?;
        self.store.remove_invocations(ids).await.map_err(|error| Error::Resolve(error.into()))
    }
}
