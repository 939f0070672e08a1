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
    /// Whether the shell is there: then its task removes it.
    is_open: bool,
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
        Ok(Claim::New(Ticket { rooms: self.clone(), sandbox: sandbox.clone(), id: id.clone(), is_open: false }))
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
    pub(crate) fn open(mut self, shell: Shell, run: impl Future<Output = ()> + Send + 'static) {
        self.is_open = true;
        let (rooms, sandbox, id) = (self.rooms.clone(), self.sandbox.clone(), self.id.clone());
        rooms.by_sandbox.lock().entry(sandbox.clone()).or_default().insert(id.clone(), Some(shell.clone()));
        let tasks = rooms.tasks.clone();
        tasks.spawn(Kind::Shell, async move {
            run.await;
            rooms.remove(&sandbox, &id, |other| other.is_some_and(|other| other.is_same(&shell)));
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_open {
            self.rooms.remove(&self.sandbox, &self.id, |shell| shell.is_none());
        }
    }
}

impl fmt::Debug for Rooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rooms").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn ids() -> (SandboxId, ShellId) {
        (SandboxId::parse("a1b2c3d4").unwrap(), ShellId::parse("a").unwrap())
    }

    fn ticket(claim: Result<Claim, Error>) -> Ticket {
        match claim.unwrap() {
            Claim::New(ticket) => ticket,
            Claim::Known(_) => panic!("it was there"),
        }
    }

    #[tokio::test]
    async fn a_shell_is_opened_by_one_who_may_give_it_up() {
        let (rooms, (sandbox, id)) = (Rooms::new(Tasks::default(), 10), ids());
        let opening = ticket(rooms.claim(&sandbox, &id));
        let refused = rooms.claim(&sandbox, &id).unwrap_err();
        assert!(matches!(refused, Error::Busy(_)) && refused.kind() == innkeep_types::ErrorKind::Conflict);
        drop(opening);
        assert_eq!(rooms.count(), 0);
        let opening = ticket(rooms.claim(&sandbox, &id));
        let (shell, _visits) = Shell::of_nobody();
        opening.open(shell.clone(), pending());
        let Claim::Known(known) = rooms.claim(&sandbox, &id).unwrap() else { panic!("it is there") };
        assert!(known.is_same(&shell) && rooms.count() == 1);
    }

    #[tokio::test]
    async fn one_that_is_over_makes_room_and_its_successor_stays() {
        let (rooms, (sandbox, id)) = (Rooms::new(Tasks::default(), 1), ids());
        let (shell, visits) = Shell::of_nobody();
        let (over, is_over) = tokio::sync::oneshot::channel::<()>();
        ticket(rooms.claim(&sandbox, &id)).open(shell, async { drop(is_over.await) });
        let other = ShellId::parse("b").unwrap();
        assert!(matches!(rooms.claim(&sandbox, &other), Err(Error::Full(1))));
        assert!(matches!(rooms.claim(&SandboxId::parse("another1").unwrap(), &other), Ok(Claim::New(_))));
        // It takes no visits any more, and its task is still to end.
        drop(visits);
        let (successor, _visits) = Shell::of_nobody();
        ticket(rooms.claim(&sandbox, &id)).open(successor, pending());
        over.send(()).unwrap();
        tokio::task::yield_now().await;
        assert!(matches!(rooms.claim(&sandbox, &id), Ok(Claim::Known(_))));
    }
}
