//! Zygotes: interpreters that have imported what their agents need, and fork once for each session. One for each version behind an
//! endpoint, in a sandbox of its own; none holds anything of a session.
//!
//! ```text
//! (none) ── a start wants one ──► Starting ── imported ──► Ready ── 15 minutes without a fork, too many, a fork failed ──► (none)
//!                                    └── refused, or failed ──► Resting, with the reason ── later, perhaps ──► (none)
//! ```
//!
//! Whoever finds none that is ready starts the agent's program. `fit` knows what can be forked, `keeper` owns one zygote from its
//! start to its end, `nest` is a place inside of one, `older` ends those of a server before this one.

mod fit;
mod keeper;
mod nest;
mod older;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use innkeep_protocol::walls;
use innkeep_types::{SandboxId, limits};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::driver::ZygoteSpec;
use crate::embedded::Executable;
use crate::tasks::Tasks;
pub(super) use fit::{Interpreter, fit};
pub(super) use keeper::Workshop;
use nest::Nest;
pub(super) use older::{found, remove, retire_older};

/// The script that a zygote runs, and where it finds it.
const SCRIPT: &str = include_str!("zygotes/zygote.py");
const SCRIPT_PATH: &str = "/run/innkeep/zygote.py";

/// How long a version rests whose zygote failed for the first time; it doubles each time. Source: our choice.
const FIRST_REST: Duration = Duration::from_secs(2);

/// The longest rest, and that of one whose imports are no good. Source: our choice.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);

/// All zygotes of a server.
#[derive(Debug)]
pub(super) struct Zygotes {
    /// One directory each.
    directory: PathBuf,
    slots: Mutex<HashMap<ZygoteSpec, Slot>>,
    /// Of sandboxes that are being launched.
    nests: Mutex<HashMap<SandboxId, Nest>>,
    executable: OnceLock<Executable>,
    tasks: Tasks,
}

#[derive(Debug)]
enum Slot {
    Starting {
        failures: u32,
    },
    Ready {
        zygote: Arc<Zygote>,
        failures: u32,
        used: Instant,
    },
    /// None: for as long as the server runs.
    Resting {
        until: Option<Instant>,
        failures: u32,
    },
}

/// One that forks.
#[derive(Debug)]
pub(super) struct Zygote {
    id: SandboxId,
    /// Of its keeper, with the socket.
    directory: PathBuf,
    users: File,
    processes: File,
    retire: CancellationToken,
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

    /// Tells whether a zygote is to be started for this; who is told so starts it.
    fn claim(&self, spec: &ZygoteSpec) -> bool {
        let mut slots = self.slots.lock();
        let failures = match slots.get(spec) {
            None => 0,
            Some(Slot::Resting { until: Some(until), failures }) if *until <= Instant::now() => *failures,
            Some(_) => return false,
        };
        slots.insert(spec.clone(), Slot::Starting { failures });
        true
    }

    /// Returns the zygote that this may be forked from now.
    pub(super) fn ready(&self, spec: &ZygoteSpec) -> Option<Arc<Zygote>> {
        match self.slots.lock().get_mut(spec)? {
            Slot::Ready { zygote, used, .. } => {
                *used = Instant::now();
                Some(Arc::clone(zygote))
            }
            Slot::Starting { .. } | Slot::Resting { .. } => None,
        }
    }

    /// Lets a version rest that cannot have one; says so the first time.
    fn never(&self, spec: &ZygoteSpec, why: &str) {
        let before = self.slots.lock().insert(spec.clone(), Slot::Resting { until: None, failures: 0 });
        if before.is_none() {
            info!("agents of {} start from their program, without a zygote: {why}", spec.version);
        }
    }

    fn start(&self, spec: &ZygoteSpec, zygote: Arc<Zygote>) {
        let mut slots = self.slots.lock();
        let failures = match slots.get(spec) {
            Some(Slot::Starting { failures }) => *failures,
            _ => 0,
        };
        slots.insert(spec.clone(), Slot::Ready { zygote, failures, used: Instant::now() });
        let oldest = |slot: &Slot| match slot {
            Slot::Ready { zygote, used, .. } => Some((*used, zygote.retire.clone())),
            Slot::Starting { .. } | Slot::Resting { .. } => None,
        };
        let mut ready: Vec<_> = slots.values().filter_map(oldest).collect();
        ready.sort_by_key(|(used, _)| *used);
        let n_extra = ready.len().saturating_sub(limits::MAX_ZYGOTES);
        ready.iter().take(n_extra).for_each(|(_, retire)| retire.cancel());
    }

    /// Takes note that there is no zygote for this any more: it never forked, or not as it should.
    fn failed(&self, spec: &ZygoteSpec, is_final: bool) {
        let mut slots = self.slots.lock();
        let failures = match slots.get(spec) {
            Some(Slot::Starting { failures } | Slot::Ready { failures, .. }) => failures.saturating_add(1),
            Some(Slot::Resting { .. }) | None => return,
        };
        let rest = if is_final { LONGEST_REST } else { rest(failures) };
        slots.insert(spec.clone(), Slot::Resting { until: Some(Instant::now() + rest), failures });
    }

    /// Takes note that one ended in good order.
    fn retired(&self, spec: &ZygoteSpec, id: &SandboxId) {
        let mut slots = self.slots.lock();
        if matches!(slots.get(spec), Some(Slot::Ready { zygote, .. }) if zygote.id == *id) {
            slots.remove(spec);
        }
    }

    /// Returns when one that has not forked since would retire; none if it is not in use any more.
    fn idle_at(&self, spec: &ZygoteSpec) -> Option<Instant> {
        match self.slots.lock().get(spec) {
            Some(Slot::Ready { used, .. }) => Some(*used + limits::ZYGOTE_IDLE),
            _ => None,
        }
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

    /// Lets go of what a launch needed.
    pub(super) fn release(&self, sandbox: &SandboxId) {
        self.nests.lock().remove(sandbox);
    }

    /// Takes note that a fork failed: its zygote ends, and another one takes its place after a while.
    pub(super) fn fork_failed(&self, spec: &ZygoteSpec, sandbox: &SandboxId, why: &str) {
        warn!(sandbox.id = %sandbox, "sandbox {sandbox} was not forked from the zygote of {}, and started from its program: {why}", spec.version);
        if let Some(zygote) = self.ready(spec) {
            self.failed(spec, false);
            zygote.retire.cancel();
        }
    }

    /// Takes note that a fork went well.
    pub(super) fn forked(&self, spec: &ZygoteSpec) {
        if let Some(Slot::Ready { failures, .. }) = self.slots.lock().get_mut(spec) {
            *failures = 0;
        }
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

/// Returns how long a version rests after so many failures.
fn rest(failures: u32) -> Duration {
    let doubled = FIRST_REST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(version: &str) -> ZygoteSpec {
        ZygoteSpec { version: version.to_owned(), modules: Vec::new() }
    }

    fn zygote(id: SandboxId) -> Arc<Zygote> {
        let null = || File::open("/dev/null").unwrap();
        let retire = CancellationToken::new();
        Arc::new(Zygote { id, directory: PathBuf::new(), users: null(), processes: null(), retire })
    }

    #[tokio::test(start_paused = true)]
    async fn one_start_at_a_time_and_a_rest_after_each_failure() {
        let zygotes = Zygotes::new(Path::new("/data"));
        let (spec, id) = (spec("v"), SandboxId::generate());
        assert!(zygotes.claim(&spec) && !zygotes.claim(&spec) && zygotes.ready(&spec).is_none());
        for rest in [2, 4, 8] {
            zygotes.failed(&spec, false);
            tokio::time::advance(Duration::from_secs(rest - 1)).await;
            assert!(!zygotes.claim(&spec), "{rest}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(zygotes.claim(&spec), "{rest}");
        }
        zygotes.start(&spec, zygote(id.clone()));
        assert_eq!(zygotes.ready(&spec).map(|zygote| zygote.id.clone()), Some(id.clone()));
        zygotes.retired(&spec, &SandboxId::generate());
        assert!(zygotes.ready(&spec).is_some());
        zygotes.retired(&spec, &id);
        assert!(zygotes.ready(&spec).is_none() && zygotes.claim(&spec));
        zygotes.failed(&spec, true);
        tokio::time::advance(LONGEST_REST - Duration::from_secs(1)).await;
        assert!(!zygotes.claim(&spec));
        assert_eq!(rest(100), LONGEST_REST);
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_that_forked_the_longest_ago_ends_for_another() {
        let zygotes = Zygotes::new(Path::new("/data"));
        let specs: Vec<_> = (0..limits::MAX_ZYGOTES).map(|n| spec(&n.to_string())).collect();
        let ids: Vec<_> = specs.iter().map(|_| zygote(SandboxId::generate())).collect();
        for (spec, zygote) in specs.iter().zip(&ids) {
            zygotes.start(spec, Arc::clone(zygote));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        zygotes.ready(&specs[0]).unwrap();
        tokio::time::advance(Duration::from_secs(1)).await;
        zygotes.start(&spec("one more"), zygote(SandboxId::generate()));
        let ending: Vec<_> = ids.iter().map(|zygote| zygote.retire.is_cancelled()).collect();
        let expected: Vec<_> = (0..ids.len()).map(|n| n == 1).collect();
        assert_eq!(ending, expected);
    }
}
