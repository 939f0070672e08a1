//! The `process` driver: sandboxes are ordinary processes of the server's user. **No isolation.**
//!
//! ```text
//! <data dir>/sandboxes/<id>/           0700; gone when the sandbox is
//!              ctl.sock  state.json  exit.json     see protocol::link
//!              home/                               the agent's HOME and TMPDIR
//! <data dir>/logs/<id>.log             the agent's output; stays
//! ```
//!
//! A sandbox is no child of the server: it lives on when the server ends, and a later server finds it by its directory.

mod handle;
mod launch;
mod orphans;
mod remove;
mod sandbox;

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use innkeep_protocol::link::{LaunchPlan, PROTOCOL, STATE_FILE, SandboxFacts};
use innkeep_types::{SandboxId, Tier, limits};
use tracing::warn;

use crate::driver::{Adopted, Capabilities, Driver, Error, LaunchSpec, Sandbox};
use crate::embedded::Executable;
use crate::link::Link;
use crate::tasks::{Kind, Tasks};
use handle::Process;
use remove::remove;

/// Where programs are looked for by an agent whose environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts agents as processes of the server's user. Dropping it lets go of its sandboxes; they live on.
#[derive(Debug)]
pub struct ProcessDriver {
    sandboxes: PathBuf,
    logs: PathBuf,
    executable: Executable,
    tasks: Tasks,
}

impl ProcessDriver {
    /// Prepares `data_dir` and the sidecar's executable. Blocks shortly.
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        let data_dir = std::path::absolute(data_dir)?;
        let (sandboxes, logs) = (data_dir.join("sandboxes"), data_dir.join("logs"));
        for directory in [&sandboxes, &logs] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let executable = Executable::new(&data_dir.join("bin"))?;
        Ok(Self { sandboxes, logs, executable, tasks: Tasks::default() })
    }

    fn plan(&self, spec: LaunchSpec) -> LaunchPlan {
        let directory = self.sandboxes.join(spec.sandbox.as_str());
        let mut environment = spec.environment;
        for name in ["HOME", "TMPDIR"] {
            environment.entry(name.to_owned()).or_insert_with(|| home(&directory).to_string_lossy().into_owned());
        }
        environment.entry("PATH".to_owned()).or_insert_with(|| DEFAULT_PATH.to_owned());
        environment.insert(orphans::MARK.to_owned(), spec.sandbox.to_string());
        LaunchPlan {
            protocol: PROTOCOL,
            log_file: self.log_file(&spec.sandbox),
            sandbox: spec.sandbox,
            directory,
            argv: spec.bundle.argv.clone(),
            environment,
            working_directory: spec.bundle.code.clone(),
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
        self.logs.join(format!("{sandbox}.log"))
    }

    /// Connects to a sidecar that is there, and follows it from now on.
    async fn attach(&self, id: &SandboxId, directory: &Path, sidecar: Process) -> io::Result<Arc<dyn Sandbox>> {
        let link = match Link::connect(directory, id).await {
            Ok(connected) => connected,
            Err(error) => {
                sidecar.kill();
                sidecar.ended().await;
                return Err(error);
            }
        };
        let log_file = self.log_file(id);
        let (sandbox, follower) = sandbox::new(id.clone(), directory.to_owned(), log_file, sidecar, link);
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
        let facts: SandboxFacts = match fs::read(directory.join(STATE_FILE)) {
            Ok(facts) => serde_json::from_slice(&facts)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match Process::find_sidecar(&facts)? {
            Some(sidecar) => self.attach(id, directory, sidecar).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Drop for ProcessDriver {
    fn drop(&mut self) {
        self.tasks.stopping().cancel();
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tier: Tier::Process,
            unusable: None,
            caveats: vec![
                "Agents run without isolation: as the server's user, with its files, its network and each other's processes \
                 within reach."
                    .to_owned(),
            ],
        }
    }

    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        let plan = self.plan(spec);
        let LaunchPlan { sandbox: id, directory, .. } = &plan;
        let failed = |what| move |source| Error::Host { sandbox: id.clone(), what, source };
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(directory).map_err(failed("make the directory"))?;
        let launched = async {
            make(&home(directory)).map_err(failed("make the home directory"))?;
            let facts = launch::launch(&self.executable, &plan).await?;
            if let Some(caveat) = &facts.caveat {
                warn!(sandbox.id = %id, "sandbox {id} has its agent's own port on this host: {caveat}");
            }
            let gone = || io::Error::from(io::ErrorKind::NotFound);
            let sidecar = Process::find_sidecar(&facts)
                .and_then(|found| found.ok_or_else(gone))
                .map_err(failed("find the sidecar"))?;
            self.attach(id, directory, sidecar).await.map_err(failed("reach the sidecar"))
        };
        let launched = launched.await;
        if launched.is_err() {
            // A sidecar that was too late to be known ends itself when its directory is gone.
            clear(id, directory).await;
        }
        launched
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        let mut adopted = Adopted::default();
        for (id, directory) in found(&self.sandboxes) {
            match self.revive(&id, &directory).await {
                Ok(Some(sandbox)) => {
                    adopted.living.push(sandbox);
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    warn!(sandbox.id = %id, "sandbox {id} from before could not be reached and was ended: {error}");
                }
            }
            let facts = sandbox::read_exit(&directory);
            clear(&id, &directory).await;
            adopted.dead.push((id, facts));
        }
        Ok(adopted)
    }
}

/// Leaves nothing of a sandbox whose sidecar is gone, or knows nothing of us, but its log.
async fn clear(id: &SandboxId, directory: &Path) {
    orphans::kill(id, None).await;
    remove(directory).await;
}

/// Returns the sandboxes that have a directory.
fn found(sandboxes: &Path) -> Vec<(SandboxId, PathBuf)> {
    let entries = fs::read_dir(sandboxes).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((SandboxId::parse(entry.file_name().to_str()?).ok()?, entry.path()))).collect()
}

fn home(directory: &Path) -> PathBuf {
    directory.join("home")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
