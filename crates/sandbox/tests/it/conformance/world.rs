//! A driver of some kind with a data directory of its own, in which everything is found again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use innkeep_artifacts::{Bundle, Content};
use innkeep_protocol::link::{AgentState, STATE_FILE, SandboxFacts};
use innkeep_protocol::walls::Base;
use innkeep_sandbox::ProcessDriver;
use innkeep_sandbox::container::{ContainerDriver, ContainerOptions};
use innkeep_sandbox::driver::{Driver, Error, LaunchSpec, Sandbox, Unusable};
use innkeep_types::{ArtifactDigest, Egress, HealthCheck, Resources, SandboxId, Settings, UnixMillis};

use super::ordinary::{self, Turn};
use super::{forked, images, remains, table};

/// For what should take milliseconds, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// What is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Process,
    /// As root.
    Container,
    /// As root, with agents that are forked from a zygote each.
    Forked,
    /// As an ordinary user.
    Rootless,
    /// As root, with an image that runs as root.
    Image,
    /// As an ordinary user, with such an image.
    RootlessImage,
}

/// A driver with a data directory of its own. Every agent's environment bears its mark.
pub(crate) struct World {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) kind: Kind,
    mark: String,
    /// Versions so far.
    versions: AtomicU32,
    directory: tempfile::TempDir,
}

impl World {
    /// Returns where the test called `name` takes place; none if it is over already, or cannot take place here and has said why.
    pub(crate) async fn enter(kind: Kind, name: &str) -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        match kind {
            Kind::Container | Kind::Image | Kind::Forked if !is_root => {
                println!("skipped: containers as root need root");
                return None;
            }
            Kind::Rootless | Kind::RootlessImage => match ordinary::turn(name).await {
                Turn::Ours => {}
                Turn::Over => return None,
            },
            _ => {}
        }
        match Self::new(kind).await {
            Ok(world) => world.can_take_place().then_some(world),
            Err(Unusable { why, fix }) => {
                // Anything else is a failure.
                let is_the_hosts = fix.contains("allow_missing_limits") || !ordinary::has_user_namespaces();
                assert!(is_the_hosts, "{why}; {fix}");
                println!("skipped: {why}; {fix}");
                None
            }
        }
    }

    async fn new(kind: Kind) -> Result<Self, Unusable> {
        let directory = tempfile::tempdir().unwrap();
        let driver = driver(kind, directory.path()).await?;
        let mark = format!("MARK={}", SandboxId::generate());
        Ok(Self { driver, kind, mark, versions: AtomicU32::new(0), directory })
    }

    /// Tells whether the driver can do what the world is for; else it has said why.
    fn can_take_place(&self) -> bool {
        let missing = self.driver.capabilities().no_images.filter(|_| self.is_image());
        if let Some(Unusable { why, fix }) = &missing {
            println!("skipped: {why}; {fix}");
        }
        missing.is_none()
    }

    /// Lets go of all sandboxes and starts over, as a restarted server does.
    pub(crate) async fn replace_driver(&mut self) {
        self.driver = driver(self.kind, self.directory.path()).await.unwrap();
    }

    /// Tells whether agents have a view of the world of their own.
    pub(crate) fn is_walled(&self) -> bool {
        self.kind != Kind::Process
    }

    /// Tells whether agents are forked.
    pub(crate) fn is_forked(&self) -> bool {
        self.kind == Kind::Forked
    }

    /// Tells whether agents are images.
    pub(crate) fn is_image(&self) -> bool {
        matches!(self.kind, Kind::Image | Kind::RootlessImage)
    }

    /// Tells whether a sandbox has users of its own.
    pub(crate) fn has_users(&self) -> bool {
        matches!(self.kind, Kind::Container | Kind::Image | Kind::Forked)
    }

    /// Returns the agent's user and group, inside.
    pub(crate) fn agent_id(&self) -> u32 {
        if self.is_image() { 0 } else { 1000 }
    }

    /// Returns where an agent may write, as Python has it.
    pub(crate) fn own_places(&self) -> &'static str {
        match self.is_image() {
            true => "('/tmp', '/app', '/dev/shm')",
            false => "('/tmp', '/var/tmp', '/dev/shm', '/home/agent', '/var/task')",
        }
    }

    /// Tells whether the driver says that it cannot limit `what` here.
    pub(crate) fn lacks_limit(&self, what: &str) -> bool {
        let missing = format!("No limit of {what}");
        let is_missing = self.driver.capabilities().caveats.iter().any(|caveat| caveat.starts_with(&missing));
        if is_missing {
            println!("not tested: {missing} here");
        }
        is_missing
    }

    /// Returns how to start `script`, which gets a directory of its own.
    pub(crate) fn spec(&self, script: &str) -> LaunchSpec {
        let sandbox = SandboxId::generate();
        let code = self.path().join(format!("code-{sandbox}"));
        fs::create_dir(&code).unwrap();
        let (content, python) = if self.is_image() {
            (Content::Image { image: images::python(&code, script) }, "python3")
        } else {
            fs::write(code.join("main.py"), script).unwrap();
            (Content::Code { code, layers: Vec::new() }, "/usr/bin/python3")
        };
        let bundle = Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).unwrap(),
            content,
            argv: [python, "-u", "-S", "main.py"].map(str::to_owned).to_vec(),
            environment: BTreeMap::new(),
            settings: Settings::default(),
        };
        let (name, value) = self.mark.split_once('=').unwrap();
        LaunchSpec {
            sandbox,
            bundle: Arc::new(bundle),
            environment: BTreeMap::from([(name.to_owned(), value.to_owned())]),
            resources: Resources::default(),
            egress: Egress::None,
            port: 8080,
            health: HealthCheck::Ping,
            start_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(2),
            ends_at: UnixMillis(i64::MAX),
            zygote: self.is_forked().then(|| forked::zygote(&self.versions)),
        }
    }

    pub(crate) async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        let has_zygote = self.make_ready(&spec).await;
        let launched = self.driver.launch(spec).await;
        if let (true, Ok(sandbox)) = (has_zygote, &launched) {
            assert!(sandbox.was_forked(), "{:?}", self.driver.zygotes());
        }
        launched
    }

    /// Makes what a launch of `spec` needs that is no part of it; tells whether its agent can be forked.
    pub(crate) async fn make_ready(&self, spec: &LaunchSpec) -> bool {
        forked::await_zygote(&self.driver, spec).await
    }

    pub(crate) async fn launch_ready(&self, spec: LaunchSpec) -> Arc<dyn Sandbox> {
        let sandbox = self.launch(spec).await.unwrap();
        let mut state = sandbox.state();
        let state = state
            .wait_for(|state| !matches!(state, AgentState::Starting | AgentState::Listening))
            .await
            .unwrap()
            .clone();
        let log = fs::read_to_string(sandbox.log_file()).unwrap();
        assert!(matches!(state, AgentState::Healthy(_)), "{state:?}\n{log}");
        sandbox
    }

    /// Returns the processes that bear the mark in their environment: agents and all that they started.
    pub(crate) fn processes(&self) -> usize {
        // A zygote has the environment of its forks. They are one process namespace further in.
        let is_no_zygote = |pid: &i32| !self.is_forked() || table::depth(*pid) > 2;
        table::processes().filter(|&pid| table::has_variable(pid, &self.mark)).filter(is_no_zygote).count()
    }

    /// Returns the launchers and sidecars of this driver that let us look into them, but for those of zygotes.
    pub(crate) fn sidecars(&self) -> Vec<i32> {
        let zygotes = self.path().join("zygotes");
        self.all_sidecars().filter(|&pid| !table::holds(pid, &zygotes)).collect()
    }

    fn all_sidecars(&self) -> impl Iterator<Item = i32> {
        table::processes().filter(|&pid| table::is_sidecar(pid) && table::holds(pid, self.path()))
    }

    /// Returns the launcher that is at work, once it has taken hold of its sandbox's directory, and then what it has forked.
    pub(crate) fn launching(&self) -> Vec<i32> {
        let ours = table::listed_children(std::process::id().cast_signed());
        let launcher = ours.into_iter().find(|&pid| table::is_sidecar(pid) && table::holds(pid, self.path()));
        launcher.into_iter().flat_map(|pid| std::iter::once(pid).chain(table::listed_children(pid))).collect()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn sandbox_directory(&self, id: &SandboxId) -> PathBuf {
        self.path().join("sandboxes").join(id.as_str())
    }

    pub(crate) fn directory(&self, sandbox: &Arc<dyn Sandbox>) -> PathBuf {
        self.sandbox_directory(sandbox.id())
    }

    pub(crate) fn sidecar_pid(&self, sandbox: &Arc<dyn Sandbox>) -> i32 {
        let facts = fs::read(self.directory(sandbox).join(STATE_FILE)).unwrap();
        serde_json::from_slice::<SandboxFacts>(&facts).unwrap().pid
    }

    pub(crate) fn kill_sidecar(&self, sandbox: &Arc<dyn Sandbox>) {
        table::kill(self.sidecar_pid(sandbox));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test that failed leaves sandboxes, and one with zygotes those.
        if std::thread::panicking() || self.is_forked() {
            self.all_sidecars().for_each(table::kill);
            remains::remove_groups(self.path());
        }
    }
}

async fn driver(kind: Kind, data_dir: &Path) -> Result<Arc<dyn Driver>, Unusable> {
    match kind {
        Kind::Process => Ok(Arc::new(ProcessDriver::new(data_dir).unwrap())),
        _ => {
            let is_rootless = matches!(kind, Kind::Rootless | Kind::RootlessImage);
            Ok(Arc::new(ContainerDriver::new(data_dir, options(is_rootless)).await?))
        }
    }
}

pub(crate) fn options(allow_missing_limits: bool) -> ContainerOptions {
    ContainerOptions { base: Base::Host, allow_missing_limits, dns: Vec::new() }
}
