//! A driver whose sandboxes are channels: the test plays the agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_protocol::ping::{Ping, PingStatus};
use innkeep_sandbox::PoolKey;
use innkeep_sandbox::dial::DialStream;
use innkeep_sandbox::driver::{Adopted, Binding, Capabilities, Driver, Error, LaunchSpec, Sandbox, Usage, ZygoteInfo};
use innkeep_sandbox::exec::{self, Exec, ExecSpec};
use innkeep_types::{AgentExit, SandboxId, Tier, UnixMillis};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::programs;

/// Makes [`FakeSandbox`]es and remembers them.
#[derive(Debug, Default)]
pub struct FakeDriver {
    /// Whether an agent is healthy as soon as it is launched; else the test says when, with [`FakeSandbox::say`].
    ready_at_once: bool,
    /// Where `dial` leads: a real listener of the test's.
    agent: Option<SocketAddr>,
    /// Whether agents use up all the grace they are given.
    stubborn: bool,
    /// What it claims to be; weakest unless the test says otherwise.
    tier: Option<Tier>,
    sandboxes: Mutex<Vec<Arc<FakeSandbox>>>,
    launches: AtomicU32,
    /// How many of the first sandboxes take no connections.
    deaf: Arc<AtomicU32>,
    /// What it says that further sandboxes can take.
    memory: Mutex<Option<u64>>,
    /// What each sandbox uses.
    used_bytes: Arc<AtomicU64>,
    /// What it says that its sandboxes are made of.
    made_of: Mutex<String>,
    /// What it says of its zygotes.
    zygotes: Mutex<Vec<ZygoteInfo>>,
}

impl FakeDriver {
    /// Returns a driver whose agents are healthy at once.
    pub fn ready() -> Arc<Self> {
        Arc::new(Self { ready_at_once: true, ..Self::default() })
    }

    /// Returns a driver whose agents wait for the test to speak for them.
    pub fn waiting() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Returns a driver whose agents are healthy at once and are reached at `agent`.
    pub fn reaching(agent: SocketAddr) -> Arc<Self> {
        Arc::new(Self { ready_at_once: true, agent: Some(agent), ..Self::default() })
    }

    /// Returns a driver whose agents are healthy at once and end only when their grace is over.
    pub fn stubborn() -> Arc<Self> {
        Arc::new(Self { ready_at_once: true, stubborn: true, ..Self::default() })
    }

    /// Returns a driver whose agents are healthy at once, in sandboxes of this tier.
    pub fn of_tier(tier: Tier) -> Arc<Self> {
        Arc::new(Self { ready_at_once: true, tier: Some(tier), ..Self::default() })
    }

    /// Lets the first `n` sandboxes, launched or not, refuse connections from now on.
    pub fn refuse_dials_to_first(&self, n: u32) {
        self.deaf.store(n, Ordering::SeqCst);
    }

    /// Says from now on that further sandboxes can take so many bytes.
    pub fn leave_memory(&self, available: u64) {
        *self.memory.lock() = Some(available);
    }

    /// Returns a driver whose agents are healthy at once, in sandboxes that are made of this.
    pub fn making_of(made_of: &str) -> Arc<Self> {
        Arc::new(Self { ready_at_once: true, made_of: Mutex::new(made_of.to_owned()), ..Self::default() })
    }

    /// Says what zygotes there are.
    pub fn set_zygotes(&self, zygotes: Vec<ZygoteInfo>) {
        *self.zygotes.lock() = zygotes;
    }

    /// Says what each sandbox uses, bytes.
    pub fn set_used_bytes(&self, bytes: u64) {
        self.used_bytes.store(bytes, Ordering::SeqCst);
    }

    /// Returns the sandboxes that were launched, in order.
    pub fn sandboxes(&self) -> Vec<Arc<FakeSandbox>> {
        self.sandboxes.lock().clone()
    }

    /// Returns how many sandboxes were launched.
    pub fn launches(&self) -> u32 {
        self.launches.load(Ordering::SeqCst)
    }

    /// Returns the sandbox launched last.
    ///
    /// # Panics
    /// If there was none.
    pub fn last(&self) -> Arc<FakeSandbox> {
        self.sandboxes.lock().last().expect("a sandbox was launched").clone()
    }

    /// Returns how many sandboxes have not been killed.
    pub fn alive(&self) -> usize {
        self.sandboxes.lock().iter().filter(|s| !s.is_dead()).count()
    }
}

#[async_trait]
impl Driver for FakeDriver {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            tier: self.tier.unwrap_or(Tier::Process),
            no_network: None,
            no_images: None,
            caveats: Vec::new(),
            made_of: self.made_of.lock().clone(),
        }
    }

    async fn launch(&self, spec: LaunchSpec) -> Result<Arc<dyn Sandbox>, Error> {
        let state = if self.ready_at_once { healthy() } else { AgentState::Starting };
        let sandbox = Arc::new(FakeSandbox {
            id: spec.sandbox.clone(),
            agent: self.agent,
            stubborn: self.stubborn,
            spec,
            number: self.launches.fetch_add(1, Ordering::SeqCst),
            deaf: self.deaf.clone(),
            used_bytes: self.used_bytes.clone(),
            state: watch::Sender::new(state),
            killed: watch::Sender::new(None),
            dialled: Mutex::default(),
            executed: Mutex::default(),
            bound: Mutex::default(),
            unbindable: AtomicBool::new(false),
            when_bound: Mutex::default(),
        });
        self.sandboxes.lock().push(sandbox.clone());
        Ok(sandbox)
    }

    async fn adopt(&self) -> Result<Adopted, Error> {
        Ok(Adopted::default())
    }

    fn available_memory(&self) -> Option<u64> {
        *self.memory.lock()
    }

    fn forget(&self, is_over: &dyn Fn(&PoolKey) -> bool) {
        self.zygotes.lock().retain(|zygote| !is_over(&zygote.key));
    }

    fn zygotes(&self) -> Vec<ZygoteInfo> {
        self.zygotes.lock().clone()
    }
}

fn healthy() -> AgentState {
    AgentState::Healthy(Ping { status: PingStatus::Healthy, time_of_last_update: None })
}

/// A sandbox without a process.
#[derive(Debug)]
pub struct FakeSandbox {
    id: SandboxId,
    agent: Option<SocketAddr>,
    stubborn: bool,
    /// What it was launched with.
    pub spec: LaunchSpec,
    number: u32,
    deaf: Arc<AtomicU32>,
    used_bytes: Arc<AtomicU64>,
    state: watch::Sender<AgentState>,
    killed: watch::Sender<Option<Duration>>,
    dialled: Mutex<Vec<Option<u16>>>,
    executed: Mutex<Vec<ExecSpec>>,
    bound: Mutex<Vec<Binding>>,
    unbindable: AtomicBool,
    when_bound: Mutex<Option<AgentState>>,
}

impl FakeSandbox {
    /// Publishes what the agent's sidecar would see.
    pub fn say(&self, state: AgentState) {
        self.state.send_replace(state);
    }

    /// Publishes a good `/ping`.
    pub fn ping(&self, status: PingStatus, time_of_last_update: Option<i64>) {
        self.say(AgentState::Healthy(Ping { status, time_of_last_update }));
    }

    /// Publishes the agent's exit by itself.
    pub fn exit(&self, exit: AgentExit, log_tail: &[&str]) {
        let log_tail = log_tail.iter().map(|line| (*line).to_owned()).collect();
        self.say(AgentState::Exited(ExitFacts {
            exit,
            cause: ExitCause::Itself,
            detail: None,
            at: UnixMillis(0),
            log_tail,
        }));
    }

    /// Tells whether it was killed.
    pub fn is_dead(&self) -> bool {
        self.killed.borrow().is_some()
    }

    /// Returns the ports that connections were asked for to, in order; all lead to the test's agent.
    pub fn dialled(&self) -> Vec<Option<u16>> {
        self.dialled.lock().clone()
    }

    /// Lets it fail when it is bound, as one does that ended in that moment.
    pub fn refuse_to_be_bound(&self) {
        self.unbindable.store(true, Ordering::SeqCst);
    }

    /// Publishes what the agent's sidecar sees at the moment when it is bound.
    pub fn say_when_bound(&self, state: AgentState) {
        *self.when_bound.lock() = Some(state);
    }

    /// Returns the programs that it was asked to run, in order; they ran on this machine, without any walls.
    pub fn executed(&self) -> Vec<ExecSpec> {
        self.executed.lock().clone()
    }

    /// Returns what it was bound to, in order.
    pub fn bound(&self) -> Vec<Binding> {
        self.bound.lock().clone()
    }

    /// Returns the grace that it was killed with.
    pub fn grace(&self) -> Option<Duration> {
        *self.killed.borrow()
    }
}

#[async_trait]
impl Sandbox for FakeSandbox {
    fn id(&self) -> &SandboxId {
        &self.id
    }

    fn log_file(&self) -> PathBuf {
        PathBuf::from("/nonexistent")
    }

    fn agent_pid(&self) -> Option<i32> {
        None
    }

    fn usage(&self) -> Option<Usage> {
        let bytes = self.used_bytes.load(Ordering::SeqCst);
        Some(Usage { memory_bytes: (bytes > 0).then_some(bytes), ..Usage::default() })
    }

    fn state(&self) -> watch::Receiver<AgentState> {
        self.state.subscribe()
    }

    async fn dial(&self, port: Option<u16>) -> Result<DialStream, Error> {
        self.dialled.lock().push(port);
        let refused = |message: String| Error::Refused { message };
        if self.number < self.deaf.load(Ordering::SeqCst) {
            return Err(refused("its port is closed".to_owned()));
        }
        let agent = self.agent.ok_or_else(|| refused("this sandbox has no agent".to_owned()))?;
        let stream = tokio::net::TcpStream::connect(agent).await.map_err(|e| refused(e.to_string()))?;
        let stream = stream.into_std().map_err(|e| refused(e.to_string()))?;
        DialStream::from_descriptor(stream.into(), agent.port()).map_err(|e| refused(e.to_string()))
    }

    async fn exec(&self, spec: ExecSpec) -> Result<Exec, exec::Error> {
        self.executed.lock().push(spec.clone());
        let (asked, socket) = exec::ask(spec)?;
        programs::run(socket);
        asked.started().await
    }

    async fn bind(&self, binding: &Binding) -> Result<(), Error> {
        self.bound.lock().push(*binding);
        let state = self.when_bound.lock().take();
        if let Some(state) = state {
            self.say(state);
        }
        match self.unbindable.load(Ordering::SeqCst) {
            true => Err(Error::Link { sandbox: self.id.clone(), message: "it is gone".to_owned() }),
            false => Ok(()),
        }
    }

    async fn kill(&self, grace: Duration) -> Option<ExitFacts> {
        if self.stubborn {
            tokio::time::sleep(grace).await;
        }
        self.killed.send_if_modified(|killed| killed.replace(grace).is_none());
        match &*self.state.borrow() {
            AgentState::Exited(facts) => Some(facts.clone()),
            _ => None,
        }
    }
}
