//! The `container` driver: every sandbox has its own kernel namespaces, root file system, users, control groups, system-call filter
//! and network. The kernel is the host's.
//!
//! ```text
//! server: ids ─► control groups ─► network ─► plan ─► launcher (crates/sidecar: walls.rs) ─► sidecar, PID 1 inside
//! ```
//!
//! As root each sandbox maps its users to a block of host ids of its own. As an ordinary user (rootless) it maps the one id there
//! is; limits and the public network then need what the host delegates.

mod capabilities;
mod cgroup;
mod egress;
mod examine;
mod guest;
mod host;
mod ids;
mod leftovers;
mod network;
mod options;
mod seccomp;
mod zygotes;

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use innkeep_artifacts::Content;
use innkeep_protocol::link::{ExitCause, ExitFacts, Fork, LaunchPlan};
use innkeep_protocol::walls::{Network, Walls, Zygote};
use innkeep_types::{AgentExit, Clock, Egress, SandboxId, SystemClock};

use crate::counts::ZygoteCounts;
use crate::driver::{
    Adopted, Capabilities, Driver, Error, LaunchSpec, Sandbox, Unusable, Usage, ZygoteInfo, ZygoteSpec,
};
use crate::local::{Ground, Local};
use crate::pool::PoolKey;
use crate::process::orphans;
pub(crate) use cgroup::MemoryGroup;
use cgroup::{Cgroups, Controller};
use egress::Networks;
pub use examine::{Finding, FindingState, examine};
use guest::Guest;
use ids::Ids;
pub(crate) use leftovers::Leftovers;
pub use options::ContainerOptions;
use zygotes::{Workshop, Zygotes};

/// Makes sandboxes of kernel namespaces. Dropping it lets go of its sandboxes; they live on.
#[derive(Debug)]
pub struct ContainerDriver(Local<Walled>);

impl ContainerDriver {
    /// Prepares `data_dir`, and starts and ends a sandbox to see whether it works here.
    pub async fn new(data_dir: &Path, options: ContainerOptions) -> Result<Self, Unusable> {
        let ground = Walled::new(data_dir, options)?;
        let local = Local::new(data_dir, ground).map_err(|error| Unusable::data_dir(data_dir, &error))?;
        local.ground().zygotes.equip(local.executable());
        let driver = Self(local);
        host::try_out(&driver).await?;
        let has_ids = driver.0.ground().ids.is_some();
        let missing = match unguarded(has_ids, crate::sys::landlock_version()) {
            Some(missing) => Some(missing),
            None => host::try_image(&driver, data_dir).await.err(),
        };
        if let Some(missing) = missing {
            // Nobody but us has set it: it says what this host is like.
            let _ = driver.0.ground().no_images.set(missing);
        }
        Ok(driver)
    }
}

impl ContainerDriver {
    fn workshop(&self) -> Workshop {
        Workshop { ground: Arc::clone(self.0.ground()), spares: Arc::clone(self.0.spares()) }
    }
}

impl Drop for ContainerDriver {
    fn drop(&mut self) {
        self.0.ground().zygotes.abandon();
    }
}

#[async_trait]
impl Driver for ContainerDriver {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        self.workshop().want(&spec, |spec| self.0.plan(spec));
        self.0.launch(spec).await
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        let ground = self.0.ground();
        // First: what sessions of theirs have, they keep alive.
        zygotes::retire_older(&self.workshop(), &ground.zygotes, &ground.data_dir).await;
        self.0.adopt().await
    }

    async fn close(&self) {
        self.0.ground().zygotes.close().await;
        self.0.close().await;
    }

    fn name(&self) -> SandboxId {
        self.0.name()
    }

    fn available_memory(&self) -> Option<u64> {
        self.0.available_memory()
    }

    fn forget(&self, is_over: &dyn Fn(&PoolKey) -> bool) {
        self.0.ground().zygotes.forget(is_over);
    }

    fn zygotes(&self) -> Vec<ZygoteInfo> {
        self.0.ground().zygotes.list()
    }

    fn zygote_counts(&self) -> ZygoteCounts {
        let ground = self.0.ground();
        ground.zygotes.counts(|zygote| ground.cgroups.open(zygote).usage().memory_bytes)
    }
}

/// What stands around every sandbox.
#[derive(Debug)]
struct Walled {
    data_dir: PathBuf,
    options: ContainerOptions,
    /// None as an ordinary user, who has one id only.
    ids: Option<Ids>,
    cgroups: Cgroups,
    networks: Networks,
    /// Compiled once.
    filter: Vec<u64>,
    /// Why images cannot be run, once that was tried.
    no_images: OnceLock<Unusable>,
    zygotes: Zygotes,
}

impl Walled {
    fn new(data_dir: &Path, options: ContainerOptions) -> Result<Self, Unusable> {
        let cgroups = Cgroups::find(data_dir);
        if let (Some(missing), false) = (cgroups.missing().first(), options.allow_missing_limits) {
            return Err(Unusable::limit(missing));
        }
        cgroups.prepare().map_err(|error| Unusable::limits(&error))?;
        let networks = Networks::find(&options.dns);
        let is_root = rustix::process::geteuid().is_root();
        let data_dir = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
        let ids = is_root.then(Ids::default);
        let (filter, no_images, zygotes) = (seccomp::filter(), OnceLock::new(), Zygotes::new(&data_dir));
        Ok(Self { data_dir, options, ids, cgroups, networks, filter, no_images, zygotes })
    }

    /// Gives the directories of a sandbox to its root, if it has users of its own. Returns the first of them.
    fn assign_ids(&self, plan: &LaunchPlan) -> io::Result<Option<u32>> {
        let Some(ids) = &self.ids else { return Ok(None) };
        let first = ids.take().ok_or_else(|| io::Error::other("all blocks of user ids are taken"))?;
        for directory in [Some(plan.directory.as_path()), plan.log_file.parent()].into_iter().flatten() {
            Ids::own(directory, first).inspect_err(|_| ids.put_back(first))?;
        }
        Ok(Some(first))
    }

    /// Makes a place inside of the zygote that the agent of this launch can be forked from, if there is one; also returns the network
    /// there. One that cannot be made is no reason not to start.
    async fn nest(&self, spec: &LaunchSpec, first_id: Option<u32>) -> (Option<Zygote>, Option<(File, PathBuf)>) {
        let Some(wanted) = &spec.zygote else { return (None, None) };
        let Some(zygote) = self.zygotes.ready(&wanted.key) else { return (None, None) };
        match self.zygotes.make_nest(&zygote, &spec.sandbox, first_id).await {
            Ok((plan, network)) => (Some(plan), network),
            Err(error) => {
                self.zygotes.fork_failed(&wanted.key, zygote.id(), &spec.sandbox, &error.to_string());
                (None, None)
            }
        }
    }

    /// Tells whether no control group limits this. For processes the kernel's limit per user then does, inside of a namespace.
    fn lacks(&self, what: Controller) -> bool {
        self.cgroups.missing().iter().any(|missing| missing.what == what)
    }
}

#[async_trait]
impl Ground for Walled {
    fn capabilities(&self) -> Capabilities {
        capabilities::of(self)
    }

    fn spares(&self) -> usize {
        2
    }

    fn memory_group(&self) -> MemoryGroup {
        self.cgroups.memory_group()
    }

    fn enter(&self, sandbox: &SandboxId) -> io::Result<Vec<PathBuf>> {
        Ok(self.cgroups.create(sandbox).map_err(io::Error::other)?.procs_files())
    }

    async fn leave(&self, sandbox: &SandboxId) {
        self.cgroups.open(sandbox).remove().await;
    }

    async fn prepare(&self, spec: &LaunchSpec, plan: LaunchPlan) -> Result<LaunchPlan, Error> {
        if let (Content::Image { .. }, Some(missing)) = (&spec.bundle.content, self.no_images.get()) {
            return Err(Error::no_images(missing.clone()));
        }
        let id = &spec.sandbox;
        let failed = |what| move |source| Error::Host { sandbox: id.clone(), what, source };
        let first_id = self.assign_ids(&plan).map_err(failed("give it users of its own"))?;
        self.cgroups
            .open(id)
            .limit(&spec.resources)
            .map_err(|error| failed("limit what it uses")(io::Error::other(error)))?;
        let (zygote, namespace) = self.nest(spec, first_id).await;
        let (network, resolv_conf) = match (spec.egress, namespace) {
            (Egress::None, None) => (Network::Loopback, String::new()),
            (Egress::None, Some((_, path))) => (Network::Join(path), String::new()),
            (Egress::Public, namespace) => {
                let opened = self.networks.open(id, &plan.directory, namespace.map(|(network, _)| network)).await;
                opened.map_err(|error| no_network(id, error))?
            }
        };
        let guest = Guest::new(&spec.bundle, plan.environment, &self.options.base, &self.data_dir, first_id.is_some())
            .map_err(|refused| Error::Agent { message: refused.to_string() })?;
        let walls = Walls {
            first_id,
            hostname: id.to_string(),
            files: guest::files(&guest.root, id.as_str(), resolv_conf),
            agent: guest.agent,
            root: guest.root,
            mounts: guest.mounts,
            disk_bytes: spec.resources.disk_bytes,
            disk_files: spec.resources.disk_files,
            open_files: spec.resources.open_files,
            processes: self.lacks(Controller::Processes).then_some(spec.resources.processes.into()),
            network,
            seccomp: self.filter.clone(),
            zygote,
        };
        Ok(LaunchPlan {
            argv: guest.argv,
            environment: guest.environment,
            working_directory: guest.working_directory,
            walls: Some(walls),
            ..plan
        })
    }

    fn launched(&self, sandbox: &SandboxId, spec: &LaunchSpec, fork: &Fork) {
        let forked_from = self.zygotes.release(sandbox);
        if let (Some(ZygoteSpec { key, .. }), Some(zygote)) = (&spec.zygote, forked_from) {
            match fork {
                Fork::NotAsked => {}
                Fork::Done => self.zygotes.forked(key, &zygote),
                Fork::Failed(why) => self.zygotes.fork_failed(key, &zygote, sandbox, why),
            }
        }
    }

    fn adopted(&self, sandbox: &SandboxId, directory: &Path) {
        self.networks.adopted(sandbox);
        if let Some(ids) = &self.ids {
            ids.note(directory);
        }
    }

    fn agent_pid(&self, sidecar: i32, inside: i32) -> Option<i32> {
        host::child_called(sidecar, inside)
    }

    fn usage(&self, sandbox: &SandboxId) -> Option<Usage> {
        Some(self.cgroups.open(sandbox).usage()).filter(|usage| *usage != Usage::default())
    }

    fn judge(&self, sandbox: &SandboxId, facts: Option<ExitFacts>) -> Option<ExitFacts> {
        let was_killed = |exit| matches!(exit, AgentExit::Signal(9) | AgentExit::Code(137));
        let is_suspect = facts.as_ref().is_none_or(|facts| facts.cause == ExitCause::Itself && was_killed(facts.exit));
        if !is_suspect || self.cgroups.open(sandbox).oom_kills() == 0 {
            return facts;
        }
        let unsaid = || ExitFacts {
            exit: AgentExit::Signal(9),
            cause: ExitCause::OutOfMemory,
            detail: None,
            at: SystemClock.now(),
            log_tail: Vec::new(),
        };
        Some(facts.map_or_else(unsaid, |facts| ExitFacts { cause: ExitCause::OutOfMemory, ..facts }))
    }

    async fn clear(&self, sandbox: &SandboxId, directory: &Path, told: bool, _: Option<OwnedFd>) {
        // It may be an ordinary process of a server before this one.
        if !told {
            orphans::kill(sandbox, None).await;
        }
        self.zygotes.release(sandbox);
        self.cgroups.open(sandbox).remove().await;
        self.networks.close(sandbox, directory).await;
        if let Some(ids) = &self.ids {
            ids.give_back(directory);
        }
    }

    fn found(&self) -> Vec<SandboxId> {
        let zygotes = zygotes::found(&self.data_dir);
        self.cgroups.found().into_iter().filter(|id| !zygotes.contains(id)).collect()
    }

    async fn close(&self) {
        self.networks.shutdown().await;
    }
}

/// Returns why images may not run though they could: a program's path, which is the image's word, is looked up by a process that
/// holds directories of the host open, and is its sidecar's user unless it has users of its own. Then landlock alone keeps
/// `/proc/self/fd/N/…` from being such a path.
fn unguarded(has_ids: bool, landlock: Option<i64>) -> Option<Unusable> {
    (!has_ids && landlock.is_none()).then(|| {
        Unusable::new(
            "as an ordinary user landlock keeps images from the host's files, and this kernel has none",
            "run the server as root, or add landlock to the kernel parameter lsm= (5.13 or newer)",
        )
    })
}

fn no_network(sandbox: &SandboxId, error: egress::Error) -> Error {
    match error {
        egress::Error::Nowhere(Unusable { why, fix }) => Error::NoNetwork { why, fix },
        error => {
            Error::Host { sandbox: sandbox.clone(), what: "connect it to the network", source: io::Error::other(error) }
        }
    }
}

#[cfg(test)]
#[expect(clippy::print_stdout, reason = "says what is skipped, and why")]
mod tests {
    use innkeep_protocol::walls::Base;

    use super::*;

    #[test]
    fn as_an_ordinary_user_images_need_landlock() {
        for (has_ids, landlock, may_run) in
            [(true, Some(6), true), (true, None, true), (false, Some(1), true), (false, None, false)]
        {
            let missing = unguarded(has_ids, landlock);
            assert_eq!(missing.is_none(), may_run, "{has_ids} {landlock:?}");
            assert!(missing.is_none_or(|missing| missing.why.contains("landlock") && missing.fix.contains("lsm=")));
        }
    }

    /// A filter that the kernel refuses is not the agent's fault, though it is set in the agent's process.
    #[tokio::test]
    async fn a_step_of_ours_that_fails_before_the_program_is_not_the_agents_failure() {
        let directory = tempfile::tempdir().unwrap();
        let options = ContainerOptions { base: Base::Host, allow_missing_limits: true, dns: Vec::new() };
        let ground = Walled::new(directory.path(), options).map(|ground| Walled { filter: vec![u64::MAX], ..ground });
        let local = ground.map(|ground| Local::new(directory.path(), ground).unwrap());
        let launched = match local {
            Ok(local) => ContainerDriver(local).launch(host::trial_of("/usr/bin/true")).await,
            Err(missing) => return println!("skipped: {}; {}", missing.why, missing.fix),
        };
        match launched {
            Err(Error::Launcher { message, .. }) if message.contains("namespace") => println!("skipped: {message}"),
            Err(Error::Launcher { message, .. }) => {
                assert!(message.contains("could not apply the filter of system calls: "), "{message}");
            }
            other => panic!("{other:?}"),
        }
    }
}
