//! What makes sandboxes, and what a sandbox can do: the only open seam of the session core.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use innkeep_artifacts::Bundle;
use innkeep_protocol::link::{AgentState, ExitFacts};
use innkeep_types::{Egress, ErrorKind, HealthCheck, Resources, SandboxId, Tier, UnixMillis};
use std::collections::BTreeMap;
use tokio::sync::watch;

use crate::counts::ZygoteCounts;
use crate::dial::DialStream;
use crate::exec::{self, Exec, ExecSpec};
use crate::pool::PoolKey;

/// What a driver can do on this host, as data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The isolation its sandboxes have.
    pub tier: Tier,
    /// Why agents cannot reach the public network; none if they can.
    pub no_network: Option<Unusable>,
    /// Why images cannot be run; none if they can.
    pub no_images: Option<Unusable>,
    /// What is weaker than users may expect, one sentence each.
    pub caveats: Vec<String>,
    /// Digest of what its sandboxes are made of: settings, host, this build. One that a driver before this one started is as good as a
    /// new one if that driver had the same.
    pub made_of: String,
}

/// Why a driver, or a part of one, cannot be used on this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unusable {
    /// What is missing, one sentence without a dot.
    pub why: String,
    /// What closes the gap, one sentence without a dot.
    pub fix: String,
}

impl Unusable {
    pub(crate) fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: fix.into() }
    }
}

/// One start of one sandbox, without any session's identity.
#[derive(Debug, Clone)]
pub struct LaunchSpec {
    /// Which sandbox; also the name of its directory.
    pub sandbox: SandboxId,
    /// What to run.
    pub bundle: Arc<Bundle>,
    /// The agent's environment, complete but for what the driver must choose itself (a port, a home directory).
    pub environment: BTreeMap<String, String>,
    /// What it may use at most, as far as the driver can limit it.
    pub resources: Resources,
    /// How far it reaches, as far as the driver can limit it.
    pub egress: Egress,
    /// The port that the agent binds.
    pub port: u16,
    /// How readiness and health are found.
    pub health: HealthCheck,
    /// From start to the first good health answer.
    pub start_timeout: Duration,
    /// Between health checks.
    pub ping_interval: Duration,
    /// When the sandbox ends even without a server.
    pub ends_at: UnixMillis,
    /// Whose interpreter it may be forked from; none: it starts from its program.
    pub zygote: Option<ZygoteSpec>,
}

/// What a sandbox that was started for nobody learns when a session takes it. Who it is for, the agent learns from each request's headers;
/// storage that a session keeps could not be mounted now, and keeps its version out of pools; entropy and clock are the kernel's own, and
/// nobody's copies, since no snapshot is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// When it ends even without a server, instead of [`LaunchSpec::ends_at`].
    pub ends_at: UnixMillis,
}

/// Starts from an interpreter that has imported already. A driver that cannot do that starts the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZygoteSpec {
    /// What all starts that may share one interpreter have in common.
    pub key: PoolKey,
    /// Modules of the agent's own that it imports, besides the frameworks.
    pub modules: Vec<String>,
    /// Whether there is room for one, if there is none.
    pub may_start: bool,
}

/// What there is of the interpreter that the agents of one version are forked from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZygoteInfo {
    /// Whose.
    pub key: PoolKey,
    /// Whether it forks.
    pub state: ZygoteState,
    /// Agents that were forked from it.
    pub forks: u64,
}

/// Whether an interpreter forks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZygoteState {
    /// It imports.
    Starting,
    /// It does.
    Ready,
    /// There is none for a while: why, for people.
    Resting(String),
    /// There will be none: why, for people.
    Unfit(String),
}

impl ZygoteState {
    /// Returns the word for it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Resting(_) => "resting",
            Self::Unfit(_) => "unfit",
        }
    }

    /// Returns why there is none, if there is none.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::Ready => None,
            Self::Resting(why) | Self::Unfit(why) => Some(why),
        }
    }
}

/// Why a driver failed. No variant leaves a sandbox behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host refused something.
    #[error("could not {what} for sandbox {sandbox}")]
    Host {
        /// Which sandbox.
        sandbox: SandboxId,
        /// What was attempted, `start the launcher`.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The launcher reported a failure of its own.
    #[error("launcher of sandbox {sandbox} failed: {message}")]
    Launcher {
        /// Which sandbox.
        sandbox: SandboxId,
        /// Its words.
        message: String,
    },
    /// The network that the agent shall have is not to be had.
    #[error("the public network cannot be given to sandboxes here: {why}")]
    NoNetwork {
        /// What is missing.
        why: String,
        /// What closes the gap.
        fix: String,
    },
    /// The bundle is an image, and images cannot be run.
    #[error("images cannot be run here: {why}")]
    NoImages {
        /// What is missing.
        why: String,
        /// What closes the gap.
        fix: String,
    },
    /// The agent's program could not be started at all.
    #[error("agent could not be started: {message}")]
    Agent {
        /// Why, in words for the deployer.
        message: String,
    },
    /// The sandbox is gone, or its sidecar broke the link's rules.
    #[error("link to sandbox {sandbox} is gone: {message}")]
    Link {
        /// Which sandbox.
        sandbox: SandboxId,
        /// What happened.
        message: String,
    },
    /// The agent's port did not take the connection.
    #[error("agent does not accept connections: {message}")]
    Refused {
        /// Why.
        message: String,
    },
}

impl Error {
    pub(crate) fn no_images(Unusable { why, fix }: Unusable) -> Self {
        Self::NoImages { why, fix }
    }

    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Host { .. } | Self::Launcher { .. } => ErrorKind::Internal,
            Self::NoNetwork { .. } | Self::NoImages { .. } => ErrorKind::Unavailable,
            Self::Agent { .. } | Self::Refused { .. } | Self::Link { .. } => ErrorKind::Agent,
        }
    }
}

/// What a server before this one left behind.
#[derive(Debug, Default)]
pub struct Adopted {
    /// Those that live.
    pub living: Vec<Arc<dyn Sandbox>>,
    /// Those that ended meanwhile, with how their agents did where the sidecar could write it down.
    pub dead: Vec<(SandboxId, Option<ExitFacts>)>,
}

/// What a sandbox uses now. None: not counted on this host, or the sandbox is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory without the page cache that the kernel would drop first, bytes; what Kubernetes calls the working set.
    pub memory_bytes: Option<u64>,
    /// Processor time since the start, milliseconds.
    pub cpu_ms: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u64>,
}

/// Makes sandboxes.
#[async_trait]
pub trait Driver: fmt::Debug + Send + Sync + 'static {
    /// Returns what it can do here.
    fn capabilities(&self) -> Capabilities;

    /// Returns the name of the next sandbox that will be launched. A driver that keeps some half made names one of those, so a
    /// launch has to follow.
    fn name(&self) -> SandboxId {
        SandboxId::generate()
    }

    /// Starts a sandbox and returns once its sidecar answers; the agent is then still starting. On an error nothing of it
    /// remains. Dropping the future may leave a sandbox behind: callers run it to its end.
    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error>;

    /// Returns the sandboxes of a server before this one, and removes what is left of dead ones.
    async fn adopt(&self) -> Result<Adopted, Error>;

    /// Returns the memory that further sandboxes can take, bytes; none: not known. Blocks shortly.
    fn available_memory(&self) -> Option<u64> {
        None
    }

    /// Lets go of what is kept for starts to come of these versions: there will be none.
    fn forget(&self, _is_over: &dyn Fn(&PoolKey) -> bool) {}

    /// Returns what is there of the interpreters that agents are forked from, by key.
    fn zygotes(&self) -> Vec<ZygoteInfo> {
        Vec::new()
    }

    /// Returns what has happened to them so far. Blocks shortly: it reads what each of them uses.
    fn zygote_counts(&self) -> ZygoteCounts {
        ZygoteCounts::default()
    }

    /// Takes down what sandboxes share on this host, as far as none is left that needs it. Last of all.
    async fn close(&self) {}
}

/// One running sandbox.
#[async_trait]
pub trait Sandbox: fmt::Debug + Send + Sync + 'static {
    /// Returns which one.
    fn id(&self) -> &SandboxId;

    /// Returns where the agent's output is kept, also after the sandbox's end.
    fn log_file(&self) -> PathBuf;

    /// Returns the agent's process on the host, if it has one there.
    fn agent_pid(&self) -> Option<i32>;

    /// Tells whether the agent was forked from an interpreter that had imported already.
    fn was_forked(&self) -> bool {
        false
    }

    /// Returns what sidecar, agent and all that it started use together; none where the driver does not count. Blocks shortly: it
    /// reads five files at most.
    fn usage(&self) -> Option<Usage> {
        None
    }

    /// Returns the level of the agent's state. The last value of a sandbox is `Exited`; the channel closes when sidecar and
    /// agent are both gone (then, without an `Exited`, the sandbox was lost).
    fn state(&self) -> watch::Receiver<AgentState>;

    /// Returns a fresh connection to the agent: to the port that it serves on, or to another one of its own, by number. Bounded in time
    /// by the driver.
    async fn dial(&self, port: Option<u16>) -> Result<DialStream, Error>;

    /// Runs a program beside the agent: behind the same walls, as the same user, with the same environment, from the same directory.
    /// Bounded in time by the driver.
    ///
    /// # Cancel safety
    /// Dropping the future kills the program.
    async fn exec(&self, spec: ExecSpec) -> Result<Exec, exec::Error>;

    /// Makes the sandbox, which was started for nobody, a session's. Bounded in time by the driver.
    ///
    /// # Errors
    /// The sandbox cannot be used then, and is to be ended.
    async fn bind(&self, binding: &Binding) -> Result<(), Error>;

    /// Ends agent and sidecar: SIGTERM, up to `grace`, SIGKILL; returns when nothing but the log is left. Idempotent;
    /// also the way to clean up after one that ended by itself.
    async fn kill(&self, grace: Duration) -> Option<ExitFacts>;
}
