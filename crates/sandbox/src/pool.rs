//! Sandboxes that are started before their session: past their first good health answer they wait, and the next new session of
//! their version takes one.
//!
//! ```text
//!              launch            first good /ping, on record         take: bind, then as any session
//!  (wanted) ──────────► starting ─────────────────────► ready ─────────────────────────────────────► a session's
//!                          │ failed, not wanted           │ ended, unhealthy, not wanted
//!                          ▼                              ▼
//!                        (gone; after a failure the next try waits)
//! ```
//!
//! [`Pools`] is the handle, with one lock that is held for look-ups and moves only, and never while another one is taken. One actor,
//! `keeper`, decides what is started and what is ended, over all pools: memory and processors are the host's, not a pool's. Each
//! member has a task of its own, `member`, from its launch to its end or to its session. How many are wanted: `demand`.

mod cold;
mod demand;
mod keeper;
mod member;
mod served;
mod trouble;
mod view;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use innkeep_types::{Clock, EndpointName, RuntimeId, RuntimeVersion, SandboxId, Tier, UnixMillis, limits};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::deployment::Deployment;
use crate::driver::{Capabilities, Driver, Sandbox};
use crate::headroom::Headroom;
use crate::journal::Journal;
use crate::tasks::{Kind, Tasks};
use demand::Demand;
use member::Post;
use trouble::Trouble;

pub(crate) use cold::ColdStart;
pub(crate) use member::Leave;
pub use view::{PoolCounts, PoolInfo, PoolMember};

/// What the members of one pool have in common: one version behind one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolKey {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The endpoint, which agents can see.
    pub endpoint: EndpointName,
    /// The version.
    pub version: RuntimeVersion,
}

impl fmt::Display for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.runtime, self.endpoint, self.version)
    }
}

/// How much memory members may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// All of them together, bytes.
    pub(crate) most_bytes: u64,
    /// What they leave free, bytes.
    pub(crate) floor_bytes: u64,
}

/// Handle to all pools; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Pools {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    driver: Arc<dyn Driver>,
    tier: Tier,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    memory: Memory,
    /// Of sessions, which start beside members.
    headroom: Arc<Headroom>,
    /// What members are made of, by the driver.
    made_of: String,
    state: Mutex<State>,
    /// What endpoints serve; none before that is known.
    served: watch::Sender<Option<HashSet<PoolKey>>>,
    /// Something happened that the keeper decides on.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    pools: BTreeMap<PoolKey, Pool>,
    /// Members of pools that are no more, which are ending.
    leaving: Vec<(PoolKey, TaskTracker)>,
    totals: PoolCounts,
    /// Sessions that are being started without a member.
    cold_starts: usize,
    /// It is known what is served: before, those that a server before this one started may still come back.
    open: bool,
    closed: bool,
}

#[derive(Debug)]
struct Pool {
    deployment: Arc<Deployment>,
    /// Oldest first.
    ready: VecDeque<Member>,
    /// Those that are being started: since when, and whether they still are.
    starting: Vec<(Instant, Weak<()>)>,
    demand: Demand,
    trouble: Trouble,
    hits: u64,
    misses: u64,
    wasted: u64,
    last_refill: Option<Duration>,
    /// What a member uses, as far as known, bytes.
    member_bytes: u64,
    /// Since when there are fewer than wanted.
    short_since: Option<Instant>,
    /// Since when there are more.
    excess_since: Option<Instant>,
    /// Why nothing is started although something is wanted, or why nothing is wanted.
    held: Option<String>,
    /// Cancelled when the pool is no more.
    over: CancellationToken,
    members: TaskTracker,
}

/// One that waits.
#[derive(Debug)]
struct Member {
    sandbox: Arc<dyn Sandbox>,
    since: Instant,
    started_at: UnixMillis,
    /// What it used when it was last looked at, bytes.
    bytes: Option<u64>,
    leave: oneshot::Sender<Leave>,
}

impl Pools {
    /// Returns no pools, and the task that keeps those to come.
    pub(crate) fn new(
        driver: Arc<dyn Driver>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        memory: Memory,
        headroom: Arc<Headroom>,
    ) -> Self {
        let (state, served, changed) = (Mutex::default(), watch::Sender::new(None), Notify::new());
        let Capabilities { tier, made_of, .. } = driver.capabilities();
        let shared = Shared { driver, tier, journal, clock, tasks, memory, headroom, made_of, state, served, changed };
        let pools = Self { shared: Arc::new(shared) };
        pools.shared.tasks.spawn(Kind::Pool, keeper::keep(pools.clone()));
        pools
    }

    /// Tells whether a new session of the deployment would find a sandbox that waits for one.
    pub(crate) fn has_one_for(&self, deployment: &Deployment) -> bool {
        let state = self.shared.state.lock();
        let (pool, now) = (state.pools.get(&deployment.pool_key()), self.shared.clock.now());
        pool.is_some_and(|pool| pool.ready.iter().any(|member| member.is_takeable(now)))
    }

    /// Notes a new session, and returns a member for it if one waits. Who takes one binds it, or ends it.
    pub(crate) fn take(&self, deployment: &Deployment) -> Option<Arc<dyn Sandbox>> {
        let mut state = self.shared.state.lock();
        let State { pools, totals, .. } = &mut *state;
        let pool = pools.get_mut(&deployment.pool_key())?;
        pool.demand.arrived(Instant::now());
        self.shared.changed.notify_one();
        // One that has ended, or missed a check, is its task's to judge.
        let now = self.shared.clock.now();
        let healthy = pool.ready.iter().position(|member| member.is_takeable(now));
        let Some(member) = healthy.and_then(|at| pool.ready.remove(at)) else {
            pool.misses += 1;
            totals.misses += 1;
            return None;
        };
        pool.hits += 1;
        totals.hits += 1;
        pool.demand.taken();
        pool.trouble.over();
        // Its task ends with that; if it has ended already, that is as well.
        let _ = member.leave.send(Leave::Taken);
        Some(member.sandbox)
    }

    /// Returns the digest of what a member is made of that is started now.
    pub(crate) fn made_of(&self, deployment: &Deployment) -> String {
        deployment.made_of(&self.shared.made_of)
    }

    /// Takes back a member that a server before this one started, if it is made as this one would make it. False if it cannot wait any
    /// more; the caller then ends it.
    pub(crate) fn adopt(
        &self,
        deployment: Arc<Deployment>,
        sandbox: Arc<dyn Sandbox>,
        (started_at, made_of): (UnixMillis, &str),
    ) -> bool {
        if made_of != self.made_of(&deployment) {
            info!(sandbox.id = %sandbox.id(), "sandbox {} waits no more: settings, host or innkeep have changed", sandbox.id());
            return false;
        }
        let now = Instant::now();
        let mut state = self.shared.state.lock();
        if state.closed || !member::is_fit(&sandbox) || deployment.pool_bar().is_some() {
            return false;
        }
        let key = deployment.pool_key();
        let pool = state.pools.entry(key.clone()).or_insert_with(|| Pool::new(deployment));
        // There were sessions for which somebody thought it worth while.
        pool.demand.touched(now);
        // The machine may have been booted since; then the age cannot be told on the monotonic clock, and starts anew.
        let since = now.checked_sub(self.shared.clock.now().since(started_at)).unwrap_or(now);
        let (leave, told) = oneshot::channel();
        let post = Post { pools: self.clone(), key, over: pool.over.clone(), sandbox: sandbox.clone(), told };
        pool.insert(Member { sandbox, since, started_at, bytes: None, leave });
        let members = pool.members.clone();
        drop(state);
        self.shared.tasks.spawn(Kind::Pool, members.track_future(post.stand()));
        self.shared.changed.notify_one();
        true
    }

    /// Ends the members of these pools and the pools, and waits until nothing is left of them.
    pub(crate) async fn end(&self, matches: impl Fn(&PoolKey) -> bool, grace: Duration) {
        let leaving: Vec<_> = {
            let mut state = self.shared.state.lock();
            state.remove(&matches, Leave::End(grace));
            state.leaving.iter().filter(|(key, _)| matches(key)).map(|(_, members)| members.clone()).collect()
        };
        for members in leaving {
            members.wait().await;
        }
    }

    /// Ends all members, or leaves those that are ready to the next server; nothing waits here any more.
    pub(crate) async fn close(&self, leave: Leave) {
        let leaving = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.remove(|_| true, leave);
            std::mem::take(&mut state.leaving)
        };
        for (_, members) in leaving {
            members.wait().await;
        }
    }
}

impl State {
    /// Removes pools. Their members are told to leave, those that are starting end.
    fn remove(&mut self, matches: impl Fn(&PoolKey) -> bool, leave: Leave) {
        self.leaving.retain(|(_, members)| !members.is_empty());
        for (key, pool) in self.pools.extract_if(.., |key, _| matches(key)) {
            pool.over.cancel();
            for member in pool.ready {
                // Its task may have ended with the server's.
                let _ = member.leave.send(leave);
                if let Leave::End(_) = leave {
                    self.totals.wasted += 1;
                }
            }
            pool.members.close();
            self.leaving.push((key, pool.members));
        }
    }
}

impl Pool {
    fn new(deployment: Arc<Deployment>) -> Self {
        let now = Instant::now();
        Self {
            demand: Demand::new(deployment.settings.pool, now),
            held: None,
            deployment,
            ready: VecDeque::new(),
            starting: Vec::new(),
            trouble: Trouble::default(),
            hits: 0,
            misses: 0,
            wasted: 0,
            last_refill: None,
            member_bytes: limits::POOL_MEMBER_BYTES,
            short_since: None,
            excess_since: None,
            over: CancellationToken::new(),
            members: TaskTracker::new(),
        }
    }

    /// Returns how many members are to be there now.
    fn wanted(&self, now: Instant) -> usize {
        match self.deployment.pool_bar() {
            Some(_) => 0,
            None => usize::try_from(self.demand.wanted(now)).unwrap_or(usize::MAX),
        }
    }

    /// Returns how many are being started.
    fn starting(&self) -> usize {
        self.starting.iter().filter(|(_, still)| still.strong_count() > 0).count()
    }

    /// Lets the member wait in its place.
    fn insert(&mut self, member: Member) {
        let at = self.ready.partition_point(|other| other.started_at <= member.started_at);
        self.ready.insert(at, member);
    }

    /// Takes the member out, if it still waits.
    fn remove(&mut self, sandbox: &SandboxId) -> Option<Member> {
        let at = self.ready.iter().position(|member| member.sandbox.id() == sandbox)?;
        self.ready.remove(at)
    }
}

impl Deployment {
    /// Returns which pool's members its sessions take.
    pub fn pool_key(&self) -> PoolKey {
        PoolKey { runtime: self.arn.runtime.clone(), endpoint: self.endpoint.clone(), version: self.version }
    }

    /// Returns why its sandboxes cannot wait for sessions; none if they can.
    pub fn pool_bar(&self) -> Option<&'static str> {
        self.session_storage.then_some(
            "the version has filesystemConfigurations, and a file system of a session cannot be mounted after the agent has started",
        )
    }
}
