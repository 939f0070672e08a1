//! One invocation: what is known of it from the start, and how far it is, which many may watch.

use std::sync::Arc;

use innkeep_store::InvocationRecord;
use innkeep_types::{
    InvocationFailure, InvocationHead, InvocationId, InvocationState, RequestId, SessionKey, SessionOwner, UnixMillis,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{Full, InvocationView};
use crate::spool::{Room, Share};

/// One invocation. Its answer's file counts as long as anybody has this.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: InvocationId,
    pub(crate) session: SessionKey,
    pub(crate) owner: SessionOwner,
    pub(crate) request: RequestId,
    pub(crate) created_at: UnixMillis,
    /// Notified once if its caller wants no more of it.
    pub(crate) cancel: Notify,
    progress: watch::Sender<Progress>,
    shares: Mutex<Shares>,
}

/// What its answer holds of all room, and of its caller's.
#[derive(Debug)]
struct Shares {
    all: Share,
    owner: Share,
}

/// The room of a request on its way to the agent.
#[derive(Debug)]
pub(crate) struct Sending<'a> {
    entry: &'a Entry,
    bytes: u64,
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        let mut shares = self.entry.shares.lock();
        let (all, owner) = (shares.all.bytes() - self.bytes, shares.owner.bytes() - self.bytes);
        shares.all.shrink_to(all);
        shares.owner.shrink_to(owner);
    }
}

/// How far one is.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) state: InvocationState,
    /// The answer's, once there is one.
    pub(crate) head: Option<Arc<InvocationHead>>,
    /// Bytes of the answer in its file.
    pub(crate) bytes: u64,
    pub(crate) ended_at: Option<UnixMillis>,
    pub(crate) failure: Option<Arc<InvocationFailure>>,
}

impl Progress {
    fn new() -> Self {
        Self { state: InvocationState::Running, head: None, bytes: 0, ended_at: None, failure: None }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state == InvocationState::Running
    }
}

impl Entry {
    /// Returns one of which nothing has happened yet.
    pub(crate) fn new(
        session: SessionKey,
        owner: SessionOwner,
        request: RequestId,
        created_at: UnixMillis,
        rooms: [&Arc<Room>; 2],
    ) -> Self {
        let (id, progress) = (InvocationId::generate(), Progress::new());
        Self::with(id, session, owner, request, created_at, progress, rooms)
    }

    /// Returns the one that a record tells of.
    pub(crate) fn of(record: InvocationRecord, rooms: [&Arc<Room>; 2]) -> Self {
        let InvocationRecord { id, session, owner, request, created_at, state, ended_at, head, bytes, failure } =
            record;
        let (head, failure) = (head.map(Arc::new), failure.map(Arc::new));
        let progress = Progress { state, head, bytes, ended_at, failure };
        let entry = Self::with(id, session, owner, request, created_at, progress, rooms);
        // Where settings leave less room than before, it is there all the same until it is too old.
        let _ = entry.reserve(bytes);
        entry
    }

    fn with(
        id: InvocationId,
        session: SessionKey,
        owner: SessionOwner,
        request: RequestId,
        created_at: UnixMillis,
        progress: Progress,
        [all, of_owner]: [&Arc<Room>; 2],
    ) -> Self {
        let shares = Mutex::new(Shares { all: Share::of(all), owner: Share::of(of_owner) });
        let (cancel, progress) = (Notify::new(), watch::Sender::new(progress));
        Self { id, session, owner, request, created_at, cancel, progress, shares }
    }

    /// Makes room for so many more bytes of its answer.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), Full> {
        let mut shares = self.shares.lock();
        if !shares.owner.try_grow(bytes) {
            return Err(Full::Bytes);
        }
        if shares.all.try_grow(bytes) {
            return Ok(());
        }
        let before = shares.owner.bytes() - bytes;
        shares.owner.shrink_to(before);
        Err(Full::Bytes)
    }

    /// Makes room for its request, of so many bytes, until what is returned is dropped: what waits to be sent takes room from other
    /// callers as much as what is kept.
    pub(crate) fn sending(&self, bytes: u64) -> Result<Sending<'_>, Full> {
        self.reserve(bytes)?;
        Ok(Sending { entry: self, bytes })
    }

    /// Returns how far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Returns what follows it.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Tells all who follow it how far it is now.
    pub(crate) fn advance(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }

    /// Returns it as it is stored.
    pub(crate) fn record(&self, progress: Progress) -> InvocationRecord {
        let Progress { state, head, bytes, ended_at, failure } = progress;
        InvocationRecord {
            id: self.id.clone(),
            session: self.session.clone(),
            owner: self.owner,
            request: self.request.clone(),
            created_at: self.created_at,
            state,
            ended_at,
            head: head.map(|head| (*head).clone()),
            bytes,
            failure: failure.map(|failure| (*failure).clone()),
        }
    }

    /// Returns what operators see of it.
    pub(crate) fn view(&self) -> InvocationView {
        let progress = self.progress();
        InvocationView {
            id: self.id.clone(),
            session: self.session.clone(),
            created_at: self.created_at,
            state: progress.state,
            ended_at: progress.ended_at,
            status: progress.head.map(|head| head.status),
            bytes: progress.bytes,
            reason: progress.failure.map(|failure| failure.message.clone()),
        }
    }
}
