//! What the drivers of this machine share: sandboxes that the embedded launcher starts, each with a directory and a sidecar of its
//! own.
//!
//! ```text
//! <data dir>/sandboxes/<id>/           0700; gone when the sandbox is
//!              ctl.sock  state.json  exit.json     see protocol::link
//! <data dir>/logs/<id>/agent.log       the agent's output; stays
//! ```
//!
//! A sandbox is no child of the server: it lives on when the server ends, and a later server finds it by its directory.

mod facts;
mod handle;
mod launch;
mod remove;
mod sandbox;
mod spares;

use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use innkeep_protocol::link::{ExitFacts, Fork, LOG_FILE, LaunchPlan, PROTOCOL, STATE_FILE, SandboxFacts};
use innkeep_types::{SandboxId, limits};
use tokio::time::timeout;
use tracing::warn;

use crate::container::MemoryGroup;
use crate::driver::{Adopted, Capabilities, Driver, Error, LaunchSpec, Sandbox, Usage};
use crate::embedded::Executable;
use crate::link::Link;
use crate::memory;
use crate::tasks::{Kind, Tasks};
use remove::remove;

pub use facts::open_own;
pub(crate) use facts::read as read_facts;
pub(crate) use handle::{Process, reap, status};
pub use remove::remove_tree;
pub(crate) use spares::Spares;

/// Where programs are looked for by an agent whose environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest that a start may take, up to its sidecar's Hello. It takes milliseconds; on a host that is overloaded, seconds.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What one driver of this machine does in its own way.
#[async_trait]
pub(crate) trait Ground: fmt::Debug + Send + Sync + 'static {
    /// Returns what it can do here.
    fn capabilities(&self) -> Capabilities;

    /// Returns how many sandboxes are kept half made. Source: our choice; a burst of starts finds the kernel awake.
    fn spares(&self) -> usize {
        0
    }

    /// Makes what a sandbox's launcher enters at once, and returns their `cgroup.procs` files. Blocks for some milliseconds.
    fn enter(&self, sandbox: &SandboxId) -> io::Result<Vec<PathBuf>>;

    /// Removes that again, where no plan was ever made for the sandbox.
    async fn leave(&self, sandbox: &SandboxId);

    /// Completes a plan whose directories exist; takes what the sandbox needs besides. On an error, [`Ground::clear`] follows.
    async fn prepare(&self, spec: &LaunchSpec, plan: LaunchPlan) -> Result<LaunchPlan, Error>;

    /// Takes note of how a launch went: whether the agent was forked, if that was asked for.
    fn launched(&self, _sandbox: &SandboxId, _spec: &LaunchSpec, _fork: &Fork) {}

    /// Takes note of a sandbox of a server before this one, which lives.
    fn adopted(&self, sandbox: &SandboxId, directory: &Path);

    /// Returns the agent's process as the host sees it. `inside`: as the sidecar sees it.
    fn agent_pid(&self, sidecar: i32, inside: i32) -> Option<i32>;

    /// Returns what a sandbox uses, if that is counted here. Blocks shortly.
    fn usage(&self, sandbox: &SandboxId) -> Option<Usage>;

    /// Returns the control group whose limit further sandboxes would be under.
    fn memory_group(&self) -> MemoryGroup;

    /// Completes what the sidecar said of the agent's end, if it said anything, with what only the host can know.
    fn judge(&self, sandbox: &SandboxId, facts: Option<ExitFacts>) -> Option<ExitFacts>;

    /// Leaves nothing of a sandbox whose sidecar is gone, or knows nothing of us, but its directory and its log. `told`: the
    /// sidecar ended in good order. `agent`: its agent, which may have ended with the sidecar.
    async fn clear(&self, sandbox: &SandboxId, directory: &Path, told: bool, agent: Option<OwnedFd>);

    /// Returns sandboxes that left something outside of their directory.
    fn found(&self) -> Vec<SandboxId>;

    /// Takes down what all of them share, as far as none is left that needs it.
    async fn close(&self) {}
}

/// A driver of this machine. Dropping it lets go of its sandboxes; they live on.
#[derive(Debug)]
pub(crate) struct Local<G> {
    ground: Arc<G>,
    sandboxes: PathBuf,
    logs: PathBuf,
    spares: Arc<Spares<G>>,
    tasks: Tasks,
}

impl<G: Ground> Local<G> {
    /// Prepares `data_dir` and the sidecar's executable. Blocks shortly.
    pub(crate) fn new(data_dir: &Path, ground: G) -> io::Result<Self> {
        let data_dir = std::path::absolute(data_dir)?;
        let (sandboxes, logs) = (data_dir.join("sandboxes"), data_dir.join("logs"));
        for directory in [&sandboxes, &logs] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let executable = Executable::new(&data_dir.join("bin"))?;
        let ground = Arc::new(ground);
        let spares = Arc::new(Spares::new(Arc::clone(&ground), executable));
        Ok(Self { ground, sandboxes, logs, spares, tasks: Tasks::default() })
    }

    /// Returns what this driver does in its own way.
    pub(crate) fn ground(&self) -> &Arc<G> {
        &self.ground
    }

    /// Returns what launchers are taken from.
    pub(crate) fn spares(&self) -> &Arc<Spares<G>> {
        &self.spares
    }

    /// Returns the program that launches.
    pub(crate) fn executable(&self) -> Executable {
        self.spares.executable()
    }

    /// Returns the plan of a launch, as far as all drivers of this machine have it in common.
    pub(crate) fn plan(&self, spec: &LaunchSpec) -> LaunchPlan {
        let mut environment = spec.environment.clone();
        environment.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
        LaunchPlan {
            protocol: PROTOCOL,
            sandbox: spec.sandbox.clone(),
            directory: self.sandboxes.join(spec.sandbox.as_str()),
            log_file: self.log_file(&spec.sandbox),
            argv: spec.bundle.argv.clone(),
            environment,
            working_directory: spec.bundle.code().unwrap_or_else(|| Path::new("/")).to_owned(),
            port: spec.port,
            health: spec.health,
            start_timeout_ms: millis(spec.start_timeout),
            ping_interval_ms: millis(spec.ping_interval),
            ends_at: spec.ends_at,
            stop_grace_ms: millis(limits::STOP_GRACE),
            walls: None,
        }
    }

    fn log_file(&self, sandbox: &SandboxId) -> PathBuf {
        self.logs.join(sandbox.as_str()).join(LOG_FILE)
    }

    async fn start(&self, spec: &LaunchSpec, plan: LaunchPlan) -> Result<Arc<dyn Sandbox>, Error> {
        let (id, directory) = (&plan.sandbox.clone(), plan.directory.clone());
        let failed = |what| move |source| Error::Host { sandbox: id.clone(), what, source };
        // First, so that it ends with whatever fails.
        let launcher = self.spares.take(id).await.map_err(failed("ready a launcher"))?;
        DirBuilder::new().mode(0o700).create(&directory).map_err(failed("make the directory"))?;
        let logs = self.logs.join(id.as_str());
        let made = DirBuilder::new().recursive(true).mode(0o700).create(logs);
        made.map_err(failed("make the directory of its output"))?;
        let plan = self.ground.prepare(spec, plan).await?;
        let facts = launcher.launch(&plan).await?;
        self.ground.launched(id, spec, &facts.fork);
        if let Some(caveat) = &facts.caveat {
            warn!(sandbox.id = %id, "sandbox {id} has its agent's own port: {caveat}");
        }
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let sidecar = Process::find_sidecar(&facts, &directory)
            .and_then(|found| found.ok_or_else(gone))
            .map_err(failed("find the sidecar"))?;
        self.attach(id, &directory, sidecar, &facts.fork).await.map_err(failed("reach the sidecar"))
    }

    /// Launches; on an error nothing is left.
    async fn launch_once(&self, spec: &LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        let plan = self.plan(spec);
        let (id, directory) = (plan.sandbox.clone(), plan.directory.clone());
        let started = timeout(START_TIMEOUT, self.start(spec, plan)).await;
        let launched = started.unwrap_or_else(|elapsed| {
            Err(Error::Host { sandbox: id.clone(), what: "start it in time", source: elapsed.into() })
        });
        if launched.is_err() {
            // A sidecar that was too late to be known ends itself when its directory is gone.
            self.clear(&id, &directory).await;
        }
        launched
    }

    fn refill(&self) {
        let (spares, stopping) = (Arc::clone(&self.spares), self.tasks.stopping().clone());
        self.tasks.spawn(Kind::Spare, async move {
            tokio::select! {
                () = stopping.cancelled() => {}
                () = spares.refill() => {}
            }
        });
    }

    /// Connects to a sidecar that is there, and follows it from now on.
    async fn attach(
        &self,
        id: &SandboxId,
        directory: &Path,
        sidecar: Process,
        fork: &Fork,
    ) -> io::Result<Arc<dyn Sandbox>> {
        let (link, inside, state) = match Link::connect(directory, id).await {
            Ok(connected) => connected,
            Err(error) => {
                sidecar.kill();
                sidecar.ended().await;
                return Err(error);
            }
        };
        let agent_pid = self.ground.agent_pid(sidecar.pid(), inside);
        let places = sandbox::Places { directory: directory.to_owned(), log_file: self.log_file(id) };
        let (sandbox, follower) =
            sandbox::new(id.clone(), places, (sidecar, fork), (link, agent_pid, state), Arc::clone(&self.ground));
        let stopping = self.tasks.stopping().clone();
        self.tasks.spawn(Kind::Sandbox, async move {
            // Ours first: a server that takes over closes this link too.
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                () = follower.follow() => {}
            }
        });
        Ok(sandbox)
    }

    /// Returns the sandbox in `directory`, if it still lives.
    async fn revive(&self, id: &SandboxId, directory: &Path) -> io::Result<Option<Arc<dyn Sandbox>>> {
        let Some(facts) = facts::read::<SandboxFacts>(directory, STATE_FILE)? else { return Ok(None) };
        match Process::find_sidecar(&facts, directory)? {
            Some(sidecar) => self.attach(id, directory, sidecar, &facts.fork).await.map(Some),
            None => Ok(None),
        }
    }

    /// Leaves nothing of a sandbox whose sidecar is gone, or knows nothing of us, but its log.
    async fn clear(&self, id: &SandboxId, directory: &Path) {
        self.ground.clear(id, directory, false, None).await;
        remove(directory).await;
    }
}

impl<G> Drop for Local<G> {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

#[async_trait]
impl<G: Ground> Driver for Local<G> {
    fn capabilities(&self) -> Capabilities {
        self.ground.capabilities()
    }

    async fn launch(&self, mut spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        let mut launched = self.launch_once(&spec).await;
        if let (Err(error @ (Error::Host { .. } | Error::Launcher { .. })), Some(_)) = (&launched, &spec.zygote) {
            // Its zygote may have ended under it, with all that was inside.
            warn!(sandbox.id = %spec.sandbox, "sandbox {} starts once more, without a zygote: {error}", spec.sandbox);
            spec.zygote = None;
            launched = self.launch_once(&spec).await;
        }
        self.refill();
        launched
    }

    fn name(&self) -> SandboxId {
        self.spares.name()
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        let mut adopted = Adopted::default();
        for (id, directory) in found(&self.sandboxes) {
            match self.revive(&id, &directory).await {
                Ok(Some(sandbox)) => {
                    self.ground.adopted(&id, &directory);
                    adopted.living.push(sandbox);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(sandbox.id = %id, "sandbox {id} from before could not be reached and was ended: {error}");
                }
            }
            let facts = self.ground.judge(&id, sandbox::read_exit(&directory));
            self.clear(&id, &directory).await;
            adopted.dead.push((id, facts));
        }
        for id in self.ground.found() {
            if !adopted.living.iter().any(|sandbox| *sandbox.id() == id) {
                self.clear(&id, &self.sandboxes.join(id.as_str())).await;
            }
        }
        self.spares.open();
        self.refill();
        Ok(adopted)
    }

    fn available_memory(&self) -> Option<u64> {
        memory::available(&self.ground.memory_group())
    }

    async fn close(&self) {
        self.spares.close().await;
        self.ground.close().await;
    }
}

/// Returns the sandboxes that have a directory.
fn found(sandboxes: &Path) -> Vec<(SandboxId, PathBuf)> {
    let entries = fs::read_dir(sandboxes).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((SandboxId::parse(entry.file_name().to_str()?).ok()?, entry.path()))).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
