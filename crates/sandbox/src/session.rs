//! One session that has a sandbox: what its requests, its actor and its readers share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use innkeep_types::lifecycle::{Now, State};
use innkeep_types::{
    AgentExit, RequestId, SandboxId, SessionKey, SessionOwner, StopReason, Tier, UnixMillis, lifecycle,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::deployment::Deployment;
use crate::driver::{self, Sandbox, Usage};
use crate::exec::{self, Exec, ExecSpec};
use crate::gate::Gate;
use crate::phases::{Start, StartPhases};
use crate::upstream::Upstream;

/// Why a sandbox ended, for the requests that were using it.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Why.
    pub reason: StopReason,
    /// How the agent ended, if known yet.
    pub exit: Option<AgentExit>,
    /// Its last log lines, for operators.
    pub log_tail: Vec<String>,
    /// The driver's own error, if that was it.
    pub(crate) source: Option<Arc<driver::Error>>,
}

impl Ended {
    /// Returns an end of which nothing more is known.
    pub(crate) fn for_reason(reason: StopReason) -> Self {
        Self { reason, exit: None, log_tail: Vec::new(), source: None }
    }
}

/// What the actor publishes.
#[derive(Debug, Clone)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) ended: Option<Ended>,
}

/// What can be asked of the actor.
#[derive(Debug)]
pub(crate) enum Command {
    /// End it.
    Stop { reason: StopReason, grace: Duration, reply: oneshot::Sender<Result<(), lifecycle::Denied>> },
    /// End it if no request is open; answers whether it did.
    StopIfUnused { reason: StopReason, reply: oneshot::Sender<bool> },
    /// Leave the sandbox to the next server.
    Detach,
}

/// The agent, once it can be spoken to.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) sandbox: Arc<dyn Sandbox>,
    pub(crate) upstream: Arc<Upstream>,
    /// How long the start took; none for a sandbox that another server started.
    pub(crate) after: Option<Duration>,
    /// Where that time went.
    pub(crate) start: Option<Start>,
}

/// When and why a sandbox was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// When.
    pub at: UnixMillis,
    /// The request that came first; none where the server that started it did not keep that.
    pub request: Option<RequestId>,
    /// Whose the session is; none where that was not kept, or could not be told.
    pub owner: Option<SessionOwner>,
}

/// One session with a sandbox.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) sandbox: SandboxId,
    pub(crate) tier: Tier,
    pub(crate) started: Instant,
    pub(crate) origin: Origin,
    /// Whether a server before this one started it.
    pub(crate) adopted: bool,
    /// Whether its sandbox was started before it, and waited.
    pub(crate) pooled: bool,
    pub(crate) gate: Gate,
    pub(crate) running: OnceLock<Running>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) commands: mpsc::Sender<Command>,
}

impl Session {
    /// Returns the levels that the lifecycle decides on.
    pub(crate) fn now(&self) -> Now {
        Now { age: self.started.elapsed(), leases: self.gate.inside(), last_used: self.gate.last_used() }
    }

    /// Returns the session as operators see it; none once it is Stopped, and on record.
    pub(crate) fn info(&self) -> Option<SessionInfo> {
        let (now, rules) = (self.now(), self.deployment.rules());
        let state = self.status.borrow().state.clone();
        let is_over = matches!(state, State::Stopped { .. });
        (!is_over).then(|| SessionInfo {
            key: self.key.clone(),
            sandbox: self.sandbox.clone(),
            version: self.deployment.version,
            state: state.phase(now.leases),
            tier: self.tier,
            origin: self.origin.clone(),
            ready: self.running.get().and_then(|r| r.after),
            phases: self.running.get().and_then(|r| r.start.as_ref()).map(Start::phases),
            open_requests: now.leases,
            idle_left: state.idles_out_at(&rules, now).map(|at| at.saturating_sub(now.age)),
            lifetime_left: Some(rules.max_lifetime.saturating_sub(now.age)),
            agent_pid: self.running.get().and_then(|r| r.sandbox.agent_pid()),
            running: self.running.get().map(|r| Arc::clone(&r.sandbox)),
        })
    }
}

/// One session as operators see it. Reading it never starts or extends anything.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// Which.
    pub key: SessionKey,
    /// Its sandbox.
    pub sandbox: SandboxId,
    /// What that runs.
    pub version: innkeep_types::RuntimeVersion,
    /// `Provisioning`, `Active`, `Idle`, `Stopping`.
    pub state: &'static str,
    /// The tier it got.
    pub tier: Tier,
    /// When and why the sandbox was started.
    pub origin: Origin,
    /// How long the start took, once ready.
    pub ready: Option<Duration>,
    /// Where that time went; none also for one that another server started.
    pub phases: Option<StartPhases>,
    /// Requests open now.
    pub open_requests: u32,
    /// Until it idles out, while idle.
    pub idle_left: Option<Duration>,
    /// Until it reaches `maxLifetime`.
    pub lifetime_left: Option<Duration>,
    /// The agent's process.
    pub agent_pid: Option<i32>,
    running: Option<Arc<dyn Sandbox>>,
}

impl SessionInfo {
    /// Returns what its sandbox uses now, where the driver counts that. Blocks shortly.
    pub fn usage(&self) -> Option<Usage> {
        self.running.as_ref()?.usage()
    }
}

/// "One request is using this sandbox": while any is held the session is Active. Dropping it ends the use.
#[derive(Debug)]
pub struct Lease {
    session: Arc<Session>,
    cold: bool,
}

impl Lease {
    /// Returns a lease, unless the session's gate is closed.
    pub(crate) fn try_open(session: &Arc<Session>, cold: bool) -> Option<Self> {
        session.gate.try_enter().then(|| Self { session: session.clone(), cold })
    }

    /// Returns the way to the agent.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.session.running.get().expect("the gate opens only after `running` is set").upstream
    }

    /// Returns which sandbox it is.
    pub fn sandbox(&self) -> &SandboxId {
        &self.session.sandbox
    }

    /// Runs a program beside the agent.
    ///
    /// # Errors
    /// As [`exec::Error`] says.
    ///
    /// # Cancel safety
    /// Dropping the future kills the program.
    pub async fn exec(&self, spec: ExecSpec) -> Result<Exec, exec::Error> {
        self.session.running.get().expect("the gate opens only after `running` is set").sandbox.exec(spec).await
    }

    /// Returns what the sandbox was started from (its version may be older than the endpoint's).
    pub fn deployment(&self) -> &Arc<Deployment> {
        &self.session.deployment
    }

    /// Tells whether this request waited for the session's start.
    pub fn is_cold(&self) -> bool {
        self.cold
    }

    /// Says that the agent is answering this request. Returns where the time of the start went, if the request waited for it.
    pub fn answered(&self) -> Option<StartPhases> {
        let running = self.session.running.get().filter(|_| self.cold)?;
        running.start.as_ref().map(Start::answered)
    }

    /// Waits until the session is told to end, or its agent has ended, and returns why.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub async fn ended(&self) -> Ended {
        let mut status = self.session.status.clone();
        let ended = status.wait_for(|s| s.ended.is_some()).await.ok().and_then(|s| s.ended.clone());
        ended.unwrap_or_else(|| Ended::for_reason(StopReason::HostLost { exit: None }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.session.gate.leave();
    }
}
