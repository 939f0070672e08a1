//! One member from its launch to its end, or to the session that takes it. Its task owns it as long as it waits.

use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause};
use innkeep_store::PoolMemberRecord;
use innkeep_types::{SandboxId, UnixMillis, limits};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Member, PoolKey, Pools, State};
use crate::deployment::Deployment;
use crate::driver::{LaunchSpec, Sandbox};
use crate::registry;
use crate::start::{self, Failure};

/// What becomes of a member that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// A session has it.
    Taken,
    /// It ends, within this grace.
    End(Duration),
    /// It lives on for the next server.
    Detach,
}

/// A member that is to be started.
#[derive(Debug)]
pub(super) struct Fill {
    pub(super) pools: Pools,
    pub(super) key: PoolKey,
    pub(super) deployment: Arc<Deployment>,
    pub(super) over: CancellationToken,
    /// Counts as one that is being started as long as this lives.
    pub(super) slot: Arc<()>,
}

/// A member that waits: what its task has to know.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) pools: Pools,
    pub(super) key: PoolKey,
    pub(super) over: CancellationToken,
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) told: oneshot::Receiver<Leave>,
}

/// Tells whether it answers its health checks.
fn is_healthy(sandbox: &Arc<dyn Sandbox>) -> bool {
    let state = sandbox.state();
    // Closed: sidecar and agent are gone.
    state.has_changed().is_ok() && matches!(*state.borrow(), AgentState::Healthy(_))
}

/// Tells whether it may wait.
pub(super) fn is_fit(sandbox: &Arc<dyn Sandbox>) -> bool {
    let state = sandbox.state();
    state.has_changed().is_ok() && why_unfit(&state.borrow()).is_none()
}

/// How long before its end a member is given to nobody: it may be ending already, which is told once its agent is gone.
const LAST_CALL: Duration = Duration::from_secs(60);

impl Member {
    /// Tells whether a session may have it.
    pub(super) fn is_takeable(&self, now: UnixMillis) -> bool {
        let age = now.since(self.started_at);
        age + LAST_CALL < limits::POOL_MEMBER_LIFETIME && is_healthy(&self.sandbox)
    }
}

impl Fill {
    /// Starts the member, and stays with it.
    pub(super) async fn run(self) {
        let Self { pools, key, deployment, over, slot } = self;
        let (demanded, given) = (deployment.settings.isolation, pools.shared.tier);
        if let Some(demanded) = demanded.filter(|demanded| *demanded > given) {
            let message = registry::error::Error::TierTooWeak { demanded, given }.to_string();
            return pools.failed(&key, &over, &Failure::of_message(message));
        }
        let (shared, began, started_at) = (&pools.shared, Instant::now(), pools.shared.clock.now());
        // A name of its own: those that the driver keeps half made are for sessions.
        let id = SandboxId::generate();
        let spec = deployment.launch_spec(id.clone(), started_at, pools.may_make_zygote(&deployment).await);
        let spec = LaunchSpec { ends_at: started_at.plus(limits::POOL_MEMBER_LIFETIME), ..spec };
        let sandbox = match shared.driver.launch(spec).await {
            Ok(sandbox) => sandbox,
            Err(error) => return pools.failed(&key, &over, &Failure::from_driver(error)),
        };
        let ready = tokio::select! {
            ready = first_ping(&sandbox) => ready,
            () = over.cancelled() => {
                start::end(&sandbox, Duration::ZERO).await;
                return;
            }
        };
        if let Err(failure) = ready {
            let facts = start::end(&sandbox, limits::STOP_GRACE).await;
            return pools.failed(&key, &over, &failure.with_last_words(facts));
        }
        // Before it may be taken: a server that is killed finds it again.
        let PoolKey { runtime, endpoint, version } = key.clone();
        let (tier, made_of) = (shared.tier, pools.made_of(&deployment));
        let record = PoolMemberRecord { sandbox: id.clone(), runtime, endpoint, version, tier, started_at, made_of };
        shared.journal.pooled(record).await;
        let (leave, told) = oneshot::channel();
        let member = Member { sandbox: sandbox.clone(), since: Instant::now(), started_at, bytes: None, leave };
        if pools.admit(&key, &over, member, began.elapsed(), slot) {
            debug!(sandbox.id = %id, runtime.id = %key.runtime, "sandbox {id} waits for a session");
            Post { pools, key, over, sandbox, told }.stand().await;
        } else {
            start::end(&sandbox, limits::STOP_GRACE).await;
            shared.journal.unpooled(&id).await;
        }
    }
}

impl Post {
    /// Stays with a member that waits, until it is told to leave, or has failed.
    pub(super) async fn stand(self) {
        let Self { pools, key, over, sandbox, mut told } = self;
        let mut state = sandbox.state();
        let leave = tokio::select! {
            biased;
            leave = &mut told => leave,
            why = unfit(&mut state) => match pools.lose(&key, &over, sandbox.id(), why) {
                true => Ok(Leave::End(Duration::ZERO)),
                // Told to leave in the same moment: what it was told counts.
                false => told.await,
            },
        };
        // Nobody tells when the handle to all pools is gone: then the server is.
        if let Ok(Leave::End(grace)) = leave {
            start::end(&sandbox, grace).await;
            pools.shared.journal.unpooled(sandbox.id()).await;
        }
    }
}

impl Pools {
    /// Tells whether there is room for an interpreter that members could be forked from, besides the member itself.
    async fn may_make_zygote(&self, deployment: &Deployment) -> bool {
        let driver = self.shared.driver.clone();
        let looked = tokio::task::spawn_blocking(move || driver.available_memory()).await;
        let needed = self.shared.headroom.reserved().saturating_add(self.expected_bytes(deployment) * 2);
        let floor = self.shared.memory.floor_bytes;
        // A driver that panics is seen to have nothing to say.
        looked.unwrap_or_default().is_none_or(|available| available.saturating_sub(needed) >= floor)
    }

    /// Lets a member wait that is ready and on record; false if its pool is no more.
    fn admit(&self, key: &PoolKey, over: &CancellationToken, member: Member, took: Duration, slot: Arc<()>) -> bool {
        let mut state = self.shared.state.lock();
        let State { pools, totals, .. } = &mut *state;
        let admitted = match pools.get_mut(key) {
            // Cancelled under the lock, when the pool goes: one of the same name may be there again.
            Some(pool) if !over.is_cancelled() => {
                pool.demand.started(took);
                pool.last_refill = Some(took);
                totals.refills += 1;
                totals.refill_time += took;
                pool.insert(member);
                true
            }
            _ => false,
        };
        // With the lock: it is starting or ready, and never both.
        drop(slot);
        drop(state);
        self.shared.headroom.look_again();
        self.shared.changed.notify_one();
        admitted
    }

    /// Notes a member that did not start.
    fn failed(&self, key: &PoolKey, over: &CancellationToken, failure: &Failure) {
        let message = match failure.log_tail.last() {
            Some(line) => format!("{}; its last line: {line}", failure.message),
            None => failure.message.clone(),
        };
        warn!(runtime.id = %key.runtime, "a sandbox of version {} of {} that was to wait for a session did not start: {message}",
            key.version, key.runtime);
        self.note(key, over, message);
    }

    /// Takes out a member that ended, or is not healthy, while it waited; false if it does not wait any more.
    fn lose(&self, key: &PoolKey, over: &CancellationToken, sandbox: &SandboxId, why: Unfit) -> bool {
        let lost = {
            let mut state = self.shared.state.lock();
            let State { pools, totals, .. } = &mut *state;
            let pool = pools.get_mut(key).filter(|_| !over.is_cancelled());
            let lost = pool.and_then(|pool| {
                let member = pool.remove(sandbox)?;
                pool.wasted += 1;
                Some(member)
            });
            totals.wasted += u64::from(lost.is_some());
            lost.is_some()
        };
        match why {
            _ if !lost => {}
            Unfit::Old => self.shared.changed.notify_one(),
            Unfit::Broken(why) => {
                warn!(sandbox.id = %sandbox, runtime.id = %key.runtime, "sandbox {sandbox}, which waited for a session, {why}");
                self.note(key, over, format!("A sandbox that waited for a session {why}"));
            }
        }
        lost
    }

    fn note(&self, key: &PoolKey, over: &CancellationToken, message: String) {
        let (now, time): (Instant, UnixMillis) = (Instant::now(), self.shared.clock.now());
        if let Some(pool) = self.shared.state.lock().pools.get_mut(key).filter(|_| !over.is_cancelled()) {
            pool.trouble.failed(message, now, time);
        }
        self.shared.changed.notify_one();
    }
}

async fn first_ping(sandbox: &Arc<dyn Sandbox>) -> Result<(), Failure> {
    start::first_ping(&mut sandbox.state()).await.map(drop)
}

/// Why a session could not use a member.
#[derive(Debug)]
enum Unfit {
    /// It reached its age.
    Old,
    /// What happened, to follow "the sandbox".
    Broken(String),
}

/// Waits until no session could use the member.
async fn unfit(state: &mut watch::Receiver<AgentState>) -> Unfit {
    loop {
        if let Some(unfit) = why_unfit(&state.borrow_and_update()) {
            return unfit;
        }
        if state.changed().await.is_err() {
            return why_unfit(&state.borrow()).unwrap_or_else(|| Unfit::Broken("was lost".to_owned()));
        }
    }
}

fn why_unfit(state: &AgentState) -> Option<Unfit> {
    match state {
        AgentState::Healthy(_) => None,
        // Under the lifecycle's rule for sessions that nobody uses.
        AgentState::Missed { misses, .. } if *misses < limits::PING_MISSES => None,
        AgentState::Missed { detail, .. } => Some(Unfit::Broken(format!("was not healthy any more: {detail}"))),
        AgentState::Exited(facts) if facts.cause == ExitCause::Deadline => Some(Unfit::Old),
        AgentState::Exited(facts) => Some(Unfit::Broken(format!("ended with {}", facts.exit))),
        // A ready agent says none of the others.
        _ => Some(Unfit::Broken("was not ready".to_owned())),
    }
}
