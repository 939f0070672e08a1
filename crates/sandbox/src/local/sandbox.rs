//! One sandbox of this machine: the handle that others hold, and the follower that owns its end.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use innkeep_protocol::link::{AgentState, EXIT_FILE, ExitFacts, Fork};
use innkeep_types::SandboxId;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::handle::Process;
use super::{Ground, facts, remove};
use crate::dial::DialStream;
use crate::driver::{Binding, Error, Sandbox, Usage};
use crate::exec::{self, Exec, ExecSpec};
use crate::link::{DialError, Link};

/// The longest that a sidecar may take to end after its agent.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest that what is left of a sandbox may resist.
const LAST_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest that a sidecar may leave a Stop untaken.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// Where a sandbox has its things.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) directory: PathBuf,
    pub(super) log_file: PathBuf,
}

/// What handle and follower share.
#[derive(Debug)]
struct Parts {
    id: SandboxId,
    places: Places,
    sidecar: Process,
    agent_pid: Option<i32>,
    was_forked: bool,
    link: Link,
}

/// The handle.
#[derive(Debug)]
struct LocalSandbox<G> {
    parts: Arc<Parts>,
    ground: Arc<G>,
    state: watch::Receiver<AgentState>,
}

/// Takes in what the sidecar says; cleans up when it is gone.
#[derive(Debug)]
pub(super) struct Follower<G> {
    parts: Arc<Parts>,
    ground: Arc<G>,
    /// None if it was gone before it could be held.
    agent: Option<OwnedFd>,
    state_tx: watch::Sender<AgentState>,
}

/// Returns handle and follower of a sandbox whose sidecar has said hello.
pub(super) fn new<G: Ground>(
    id: SandboxId,
    places: Places,
    (sidecar, fork): (Process, &Fork),
    (link, agent_pid, state): (Link, Option<i32>, AgentState),
    ground: Arc<G>,
) -> (Arc<dyn Sandbox>, Follower<G>) {
    // The sidecar has not reaped it, or is about to say that it has: the pid is the agent's.
    let agent = agent_pid.and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let was_forked = *fork == Fork::Done;
    let parts = Arc::new(Parts { id, places, sidecar, agent_pid, was_forked, link });
    let (state_tx, state) = watch::channel(state);
    let sandbox = LocalSandbox { parts: Arc::clone(&parts), ground: Arc::clone(&ground), state };
    (Arc::new(sandbox), Follower { parts, ground, agent, state_tx })
}

impl<G: Ground> Follower<G> {
    /// Follows the sandbox to its end and removes what is left of it; then, with this, the state's channel closes.
    pub(super) async fn follow(self) {
        let Self { parts, ground, agent, state_tx } = self;
        let id = &parts.id;
        let judge = |facts| ground.judge(id, Some(facts));
        if let Err(error) = parts.link.receive(&state_tx, judge).await {
            warn!(sandbox.id = %id, "link to sandbox {id} broke, it is ended: {error}");
            parts.sidecar.kill();
        }
        parts.link.close();
        if timeout(END_TIMEOUT, parts.sidecar.ended()).await.is_err() {
            warn!(sandbox.id = %id, "sidecar of sandbox {id} did not end by itself");
            parts.sidecar.kill();
            // One that is frozen ends when its group is thawed, below.
            let _ = timeout(END_TIMEOUT, parts.sidecar.ended()).await;
        }
        let told = matches!(&*state_tx.borrow(), AgentState::Exited(_));
        let untold = if told { None } else { ground.judge(id, read_exit(&parts.places.directory)) };
        ground.clear(id, &parts.places.directory, told, agent).await;
        if let Some(facts) = untold {
            state_tx.send_replace(AgentState::Exited(facts));
        }
        remove(&parts.places.directory).await;
    }
}

/// Returns how the agent of the sandbox in `directory` ended, if the sidecar could write it down.
pub(super) fn read_exit(directory: &Path) -> Option<ExitFacts> {
    // One that cannot be understood says nothing.
    facts::read(directory, EXIT_FILE).ok().flatten()
}

#[async_trait]
impl<G: Ground> Sandbox for LocalSandbox<G> {
    fn id(&self) -> &SandboxId {
        &self.parts.id
    }

    fn log_file(&self) -> PathBuf {
        self.parts.places.log_file.clone()
    }

    fn agent_pid(&self) -> Option<i32> {
        self.parts.agent_pid
    }

    fn was_forked(&self) -> bool {
        self.parts.was_forked
    }

    fn usage(&self) -> Option<Usage> {
        self.ground.usage(&self.parts.id)
    }

    fn state(&self) -> watch::Receiver<AgentState> {
        self.state.clone()
    }

    async fn dial(&self, port: Option<u16>) -> Result<DialStream, Error> {
        self.parts.link.dial(port).await.map_err(|error| match error {
            DialError::Refused(message) => Error::Refused { message },
            DialError::Closed => Error::Link { sandbox: self.parts.id.clone(), message: error.to_string() },
        })
    }

    async fn exec(&self, spec: ExecSpec) -> Result<Exec, exec::Error> {
        let (asked, socket) = exec::ask(spec)?;
        self.parts.link.exec(socket).await.map_err(|error| match error.kind() {
            ErrorKind::Unsupported => exec::Error::TooOld,
            _ => exec::Error::Gone(Some(error)),
        })?;
        asked.started().await
    }

    async fn bind(&self, binding: &Binding) -> Result<(), Error> {
        self.parts.link.bind(binding.ends_at).await.map_err(|error| Error::Link {
            sandbox: self.parts.id.clone(),
            message: format!("it could not be bound: {error}"),
        })
    }

    async fn kill(&self, grace: Duration) -> Option<ExitFacts> {
        // One that cannot take it is over already, or is killed below.
        let _ = timeout(STOP_TIMEOUT, self.parts.link.stop(grace)).await;
        let mut state = self.state.clone();
        let gone = async { while state.changed().await.is_ok() {} };
        if timeout(grace.saturating_add(END_TIMEOUT), gone).await.is_err() {
            self.parts.sidecar.kill();
            let gone = async { while state.changed().await.is_ok() {} };
            if timeout(LAST_TIMEOUT, gone).await.is_err() {
                warn!(sandbox.id = %self.parts.id, "sandbox {} resists its end", self.parts.id);
            }
        }
        match &*self.state.borrow() {
            AgentState::Exited(facts) => Some(facts.clone()),
            _ => None,
        }
    }
}
