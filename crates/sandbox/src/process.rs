//! The `process` driver: sandboxes are ordinary processes of the server's user. **No isolation.**
//!
//! The agent's HOME and TMPDIR are `home/` in the sandbox's directory.

pub(crate) mod orphans;

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use innkeep_artifacts::Content;
use innkeep_protocol::link::{ExitFacts, LaunchPlan};
use innkeep_types::{SandboxId, Tier};
use parking_lot::Mutex;

use crate::container::{Leftovers, MemoryGroup};
use crate::driver::{Adopted, Capabilities, Driver, Error, LaunchSpec, Sandbox, Unusable, Usage};
use crate::local::{Ground, Local};
use crate::made_of;

/// Starts agents as processes of the server's user. Dropping it lets go of its sandboxes; they live on.
#[derive(Debug)]
pub struct ProcessDriver(Local<Host>);

impl ProcessDriver {
    /// Prepares `data_dir` and the sidecar's executable. Blocks shortly.
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        let data_dir = std::path::absolute(data_dir)?;
        let host =
            Host { memory: MemoryGroup::of_server(), containers: Leftovers::find(&data_dir), older: Mutex::default() };
        Local::new(&data_dir, host).map(Self)
    }
}

#[async_trait]
impl Driver for ProcessDriver {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        self.0.launch(spec).await
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        self.0.adopt().await
    }

    fn available_memory(&self) -> Option<u64> {
        self.0.available_memory()
    }

    async fn close(&self) {
        self.0.close().await;
    }
}

/// The host as it is, nothing around anything.
#[derive(Debug)]
struct Host {
    /// The server's, which its agents are in.
    memory: MemoryGroup,
    /// Of a server before this one that had another isolation.
    containers: Leftovers,
    /// Sandboxes of such a server, maybe, that live.
    older: Mutex<HashSet<SandboxId>>,
}

#[async_trait]
impl Ground for Host {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tier: Tier::Process,
            no_network: None,
            no_images: Some(no_images()),
            caveats: vec![
                "Agents run without isolation: as the server's user, with its files, its network and each other's processes \
                 within reach."
                    .to_owned(),
            ],
            made_of: made_of::digest(&[made_of::build().as_bytes()]),
        }
    }

    fn memory_group(&self) -> MemoryGroup {
        self.memory.clone()
    }

    fn enter(&self, _: &SandboxId) -> io::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    async fn leave(&self, _: &SandboxId) {}

    async fn prepare(&self, spec: &LaunchSpec, mut plan: LaunchPlan) -> Result<LaunchPlan, Error> {
        if let Content::Image { .. } = spec.bundle.content {
            return Err(Error::no_images(no_images()));
        }
        let home = plan.directory.join("home");
        DirBuilder::new().mode(0o700).create(&home).map_err(|source| Error::Host {
            sandbox: plan.sandbox.clone(),
            what: "make the home directory",
            source,
        })?;
        for name in ["HOME", "TMPDIR"] {
            plan.environment.entry(name.to_owned()).or_insert_with(|| home.to_string_lossy().into_owned());
        }
        plan.environment.insert(orphans::MARK.to_owned(), plan.sandbox.to_string());
        Ok(plan)
    }

    fn adopted(&self, sandbox: &SandboxId, _: &Path) {
        self.older.lock().insert(sandbox.clone());
    }

    fn agent_pid(&self, _: i32, inside: i32) -> Option<i32> {
        Some(inside)
    }

    fn usage(&self, _: &SandboxId) -> Option<Usage> {
        None
    }

    fn judge(&self, _: &SandboxId, facts: Option<ExitFacts>) -> Option<ExitFacts> {
        facts
    }

    async fn clear(&self, sandbox: &SandboxId, directory: &Path, told: bool, agent: Option<OwnedFd>) {
        // A sidecar that ended in good order has left nothing, unless it was a container's.
        if !told {
            orphans::kill(sandbox, agent).await;
        }
        let is_older = self.older.lock().remove(sandbox);
        if !told || is_older {
            self.containers.clear(sandbox, directory).await;
        }
    }

    fn found(&self) -> Vec<SandboxId> {
        self.containers.found()
    }

    async fn close(&self) {
        self.containers.close().await;
    }
}

fn no_images() -> Unusable {
    Unusable::new("images run in containers", "start the server with --isolation container")
}
