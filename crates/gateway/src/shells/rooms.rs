//! Which shells there are, by sandbox: as many as a session may have, each id once, and each opened by one request.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_types::{SandboxId, ShellId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::shell::Shell;

/// A handle; clones share the shells.
#[derive(Clone)]
pub(crate) struct Rooms {
    by_sandbox: Arc<Mutex<BySandbox>>,
    tasks: Tasks,
    /// In one sandbox.
    max_shells: usize,
}

/// None: it is being opened.
type BySandbox = HashMap<SandboxId, HashMap<ShellId, Option<Shell>>>;

/// What a client is to do who wants a shell.
#[derive(Debug)]
pub(crate) enum Claim {
    /// To come to one that is there.
    Known(Shell),
    /// To open it. Nobody else does meanwhile.
    New(Ticket),
}

/// The right to open a shell. Dropped without that, it is another's.
#[derive(Debug)]
pub(crate) struct Ticket {
    rooms: Rooms,
    sandbox: SandboxId,
    id: ShellId,
}

impl Rooms {
    pub(crate) fn new(tasks: Tasks, max_shells: usize) -> Self {
        Self { by_sandbox: Arc::default(), tasks, max_shells }
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.by_sandbox.lock().values().map(HashMap::len).sum()
    }

    /// Returns what is cancelled when shells are to end.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.tasks.stopping().clone()
    }

    /// Claims a shell.
    ///
    /// # Errors
    /// There are as many as there may be, or somebody else is opening this one.
    pub(crate) fn claim(&self, sandbox: &SandboxId, id: &ShellId) -> Result<Claim, Error> {
        let mut by_sandbox = self.by_sandbox.lock();
        let here = by_sandbox.get(sandbox);
        match here.and_then(|shells| shells.get(id)) {
            Some(Some(shell)) if !shell.is_over() => return Ok(Claim::Known(shell.clone())),
            Some(None) => return Err(Error::Busy(id.clone())),
            Some(Some(_)) => {}
            None if here.map_or(0, HashMap::len) >= self.max_shells => return Err(Error::Full(self.max_shells)),
            None => {}
        }
        by_sandbox.entry(sandbox.clone()).or_default().insert(id.clone(), None);
        Ok(Claim::New(Ticket { rooms: self.clone(), sandbox: sandbox.clone(), id: id.clone() }))
    }

    /// Removes a shell that is over, unless another has its place already.
    fn remove(&self, sandbox: &SandboxId, id: &ShellId, is_it: impl FnOnce(Option<&Shell>) -> bool) {
        let mut by_sandbox = self.by_sandbox.lock();
        let Some(shells) = by_sandbox.get_mut(sandbox) else { return };
        if shells.get(id).is_some_and(|shell| is_it(shell.as_ref())) {
            shells.remove(id);
        }
        if shells.is_empty() {
            by_sandbox.remove(sandbox);
        }
    }
}

impl Ticket {
    /// Lets others come to the shell, which is gone once `run` is over.
    pub(crate) fn open(self, shell: Shell, run: impl Future<Output = ()> + Send + 'static) {
        let (rooms, sandbox, id) = (self.rooms.clone(), self.sandbox.clone(), self.id.clone());
        if let Some(shells) = rooms.by_sandbox.lock().get_mut(&sandbox) {
            shells.insert(id.clone(), Some(shell.clone()));
        }
        let tasks = rooms.tasks.clone();
        tasks.spawn(Kind::Shell, async move {
            run.await;
            rooms.remove(&sandbox, &id, |other| other.is_some_and(|other| other.is_same(&shell)));
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.rooms.remove(&self.sandbox, &self.id, |shell| shell.is_none());
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}
