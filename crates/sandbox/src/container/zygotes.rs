//! Zygotes: interpreters that have imported what their agents need, and fork once for each session. One for each version behind an
//! endpoint, in a sandbox of its own; none holds anything of a session.
//!
//! Whoever finds none that is ready starts the agent's program. `fit` knows what can be forked, `slots` which version has one, `keeper`
//! owns one zygote from its start to its end, `strays` ends what else its imports started, `nest` is a place inside of one, `older` ends
//! those of a server before this one.

mod fit;
mod keeper;
mod nest;
mod older;
mod slots;
mod strays;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use innkeep_protocol::walls;
use innkeep_types::SandboxId;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::counts::{ZygoteCounts, ZygoteRefusal};
use crate::driver::ZygoteInfo;
use crate::embedded::Executable;
use crate::pool::PoolKey;
use crate::tasks::Tasks;
pub(super) use fit::{Interpreter, fit};
pub(super) use keeper::Workshop;
use nest::Nest;
pub(super) use older::{found, remove, retire_older};
use slots::Slots;

/// The script that a zygote runs, and where it finds it.
const SCRIPT: &str = include_str!("zygotes/zygote.py");
const SCRIPT_PATH: &str = "/run/innkeep/zygote.py";

/// All zygotes of a server.
#[derive(Debug)]
pub(super) struct Zygotes {
    /// One directory each.
    directory: PathBuf,
    slots: Mutex<Slots>,
    /// Of sandboxes that are being launched.
    nests: Mutex<HashMap<SandboxId, Nest>>,
    executable: OnceLock<Executable>,
    tasks: Tasks,
}

/// One that forks.
#[derive(Debug)]
pub(super) struct Zygote {
    id: SandboxId,
    /// Of its keeper, with the socket.
    directory: PathBuf,
    users: File,
    processes: File,
}

impl Zygote {
    /// Returns which one.
    pub(super) fn id(&self) -> &SandboxId {
        &self.id
    }
}

impl Zygotes {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self {
            directory: older::place(data_dir),
            slots: Mutex::default(),
            nests: Mutex::default(),
            executable: OnceLock::new(),
            tasks: Tasks::default(),
        }
    }

    /// Gives it the program that makes nests.
    pub(super) fn equip(&self, executable: Executable) {
        // The first one is as good as any.
        let _ = self.executable.set(executable);
    }

    /// Returns the zygote that this may be forked from now.
    pub(super) fn ready(&self, key: &PoolKey) -> Option<Arc<Zygote>> {
        self.slots.lock().ready(key, Instant::now())
    }

    /// Lets a version rest that can never have one; says so the first time.
    fn never(&self, key: &PoolKey, why: &str) {
        if self.slots.lock().never(key, why) {
            info!("agents of {key} start from their program, without a zygote: {why}");
        }
    }

    /// Takes note that one never forked, or not as it should.
    fn failed(&self, key: &PoolKey, zygote: &SandboxId, class: ZygoteRefusal, why: &str) {
        self.slots.lock().failed(key, zygote, class, why, Instant::now());
    }

    /// Makes a place for `sandbox` inside of a zygote's, and keeps it until the launch is over. `first_id`: of its users, if it has any.
    pub(super) async fn make_nest(
        &self,
        zygote: &Zygote,
        sandbox: &SandboxId,
        first_id: Option<u32>,
    ) -> io::Result<(walls::Zygote, Option<(File, PathBuf)>)> {
        let nest = Nest::make(zygote, self.executable.get(), first_id).await?;
        let made = (nest.plan(zygote), nest.network()?);
        self.nests.lock().insert(sandbox.clone(), nest);
        Ok(made)
    }

    /// Lets go of what a launch needed; returns the zygote that it was to be forked from, if there was one.
    pub(super) fn release(&self, sandbox: &SandboxId) -> Option<SandboxId> {
        self.nests.lock().remove(sandbox).map(Nest::into_zygote)
    }

    /// Takes note that a fork failed: its zygote ends, and another one takes its place after a while.
    pub(super) fn fork_failed(&self, key: &PoolKey, zygote: &SandboxId, sandbox: &SandboxId, why: &str) {
        warn!(sandbox.id = %sandbox, "sandbox {sandbox} was not forked from the zygote of {key}, and started from its program: {why}");
        self.failed(key, zygote, ZygoteRefusal::Fork, &format!("a fork failed: {why}"));
    }

    /// Takes note that a fork went well.
    pub(super) fn forked(&self, key: &PoolKey, zygote: &SandboxId) {
        self.slots.lock().forked(key, zygote);
    }

    /// Ends those of versions that are no more.
    pub(super) fn forget(&self, is_over: &dyn Fn(&PoolKey) -> bool) {
        self.slots.lock().forget(is_over);
    }

    /// Returns what there is, by key.
    pub(super) fn list(&self) -> Vec<ZygoteInfo> {
        self.slots.lock().list()
    }

    /// Returns what has happened so far; `memory`: what a zygote uses, bytes.
    pub(super) fn counts(&self, memory: impl Fn(&SandboxId) -> Option<u64>) -> ZygoteCounts {
        let (counts, living) = {
            let slots = self.slots.lock();
            (slots.counts().clone(), slots.living())
        };
        // The kernel is asked without the lock: starts wait for that.
        ZygoteCounts { memory_bytes: living.iter().filter_map(memory).sum(), ..counts }
    }

    /// Ends all of them, and waits for those that nobody lives in any more.
    pub(super) async fn close(&self) {
        self.tasks.finish().await;
    }

    /// Ends all of them, some time.
    pub(super) fn abandon(&self) {
        self.tasks.stopping().cancel();
    }
}
