//! Sandboxes that are half made: a launcher that waits for its plan, in control groups of its own. To enter one makes the kernel wait
//! for all processors, 14 ms now and then (measured, v1), which a request for a new session need not see.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use innkeep_types::SandboxId;
use parking_lot::Mutex;
use tracing::debug;

use super::Ground;
use super::launch::Launcher;
use crate::embedded::Executable;

/// Makes and keeps them.
#[derive(Debug)]
pub(crate) struct Spares<G> {
    ground: Arc<G>,
    executable: Executable,
    kept: Mutex<Kept>,
    /// Held by who makes some: one does it, and an end waits for it.
    making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Whether any are to be kept: not before the server takes over, and not after its end.
    open: bool,
    waiting: Vec<(SandboxId, Launcher)>,
    /// Those whose name was given away, and whose launch follows.
    named: HashMap<SandboxId, Launcher>,
    /// Those whose launcher somebody else ended: what it had entered is to be removed.
    ended: Vec<SandboxId>,
}

impl<G: Ground> Spares<G> {
    pub(super) fn new(ground: Arc<G>, executable: Executable) -> Self {
        Self { ground, executable, kept: Mutex::default(), making: tokio::sync::Mutex::default() }
    }

    /// Returns the name of one that waits; a new name if there is none.
    pub(super) fn name(&self) -> SandboxId {
        let mut kept = self.kept.lock();
        while let Some((id, mut launcher)) = kept.waiting.pop() {
            if launcher.is_waiting() {
                kept.named.insert(id.clone(), launcher);
                return id;
            }
            debug!(sandbox.id = %id, "a launcher that waited has ended");
            kept.ended.push(id);
        }
        SandboxId::generate()
    }

    /// Returns the launcher of the sandbox with this name.
    pub(crate) async fn take(&self, id: &SandboxId) -> io::Result<Launcher> {
        let named = self.kept.lock().named.remove(id);
        match named {
            Some(launcher) => Ok(launcher),
            None => self.make(id).await,
        }
    }

    /// Returns the program that launches.
    pub(super) fn executable(&self) -> Executable {
        self.executable.clone()
    }

    async fn make(&self, id: &SandboxId) -> io::Result<Launcher> {
        let (ground, of) = (Arc::clone(&self.ground), id.clone());
        let groups = tokio::task::spawn_blocking(move || ground.enter(&of)).await.map_err(io::Error::other)??;
        Launcher::start(&self.executable, &groups)
    }

    /// Keeps some from now on.
    pub(super) fn open(&self) {
        self.kept.lock().open = true;
    }

    /// Makes as many as are missing, and removes what others left. One after the other: nobody waits for them.
    pub(super) async fn refill(&self) {
        // Who makes some already sees what is missing now.
        let Ok(_making) = self.making.try_lock() else { return };
        let ended = std::mem::take(&mut self.kept.lock().ended);
        for id in ended {
            self.ground.leave(&id).await;
        }
        while self.is_short() {
            let id = SandboxId::generate();
            match self.make(&id).await {
                Ok(launcher) => {
                    if let Some(launcher) = self.keep(&id, launcher) {
                        launcher.end().await;
                        self.ground.leave(&id).await;
                    }
                }
                Err(error) => {
                    // The next start meets the same obstacle, and tells.
                    debug!("no sandbox could be made in advance: {error}");
                    self.ground.leave(&id).await;
                    return;
                }
            }
        }
    }

    fn is_short(&self) -> bool {
        let kept = self.kept.lock();
        kept.open && kept.waiting.len() < self.ground.spares()
    }

    /// Returns it if none is to be kept any more.
    fn keep(&self, id: &SandboxId, launcher: Launcher) -> Option<Launcher> {
        let mut kept = self.kept.lock();
        if !kept.open || kept.waiting.len() >= self.ground.spares() {
            return Some(launcher);
        }
        kept.waiting.push((id.clone(), launcher));
        None
    }

    /// Ends all that wait, and keeps none from now on.
    pub(super) async fn close(&self) {
        self.kept.lock().open = false;
        let _made = self.making.lock().await;
        let kept = std::mem::take(&mut *self.kept.lock());
        for (id, launcher) in kept.waiting.into_iter().chain(kept.named) {
            launcher.end().await;
            self.ground.leave(&id).await;
        }
        for id in kept.ended {
            self.ground.leave(&id).await;
        }
    }
}
