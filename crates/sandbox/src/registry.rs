//! The sessions of this server: finds a session's sandbox or starts one, once, however many ask.

pub(crate) mod admit;
mod boot;
mod closing;
mod ending;
pub(crate) mod error;
pub(crate) mod owners;
mod pools;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use innkeep_types::lifecycle::State;
use innkeep_types::{Clock, RuntimeArn, RuntimeId, RuntimeVersion, SessionId, SessionKey, StopReason, limits};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::admission::FairRate;
use crate::counts::{Counters, Counts};
use crate::deployment::Deployment;
use crate::driver::{Capabilities, Driver, Sandbox};
use crate::gate::Gate;
use crate::headroom::Headroom;
use crate::journal::Journal;
use crate::phases::Stopwatch;
use crate::pool::{Memory, PoolKey, Pools};
use crate::registry::admit::{Limits, MemoryLeft};
use crate::registry::closing::Closings;
use crate::registry::error::Error;
use crate::registry::owners::Asker;
use crate::session::{Command, Ended, Lease, Origin, Session, Status};
use crate::start::Failure;
use crate::supervisor::{End, Given, Supervisor};
use crate::tasks::{Kind, Tasks};

/// Handle to all sessions; clones share it.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    driver: Arc<dyn Driver>,
    /// The driver's; it never changes them.
    capabilities: Capabilities,
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    limits: Limits,
    headroom: Arc<Headroom>,
    counters: Arc<Counters>,
    pools: Pools,
    /// Held for look-ups and insertions only, never across an await.
    sessions: Mutex<Sessions>,
}

#[derive(Debug)]
struct Sessions {
    by_key: HashMap<SessionKey, Arc<Session>>,
    /// How many of them each runtime has that has any.
    by_runtime: HashMap<RuntimeId, usize>,
    start_rate: FairRate<RuntimeId>,
    /// Deleted since this server started: who found one before that and waited must not start it any more. Ids are never given
    /// twice, and take some fifty bytes each.
    deleted: HashSet<RuntimeId>,
    /// Endpoints that were deleted, which may be made again.
    closings: Closings,
    /// Sessions that had a sandbox and have none any more.
    n_ended: u64,
    closed: bool,
}

/// What waits longer than the agent's own start limit: the launch before it, and the end of the sandbox before that.
const PATIENCE: Duration = Duration::from_secs(20);

impl Registry {
    /// Returns a registry without sessions.
    pub fn new(
        driver: Arc<dyn Driver>,
        journal: Arc<dyn Journal>,
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        limits: Limits,
    ) -> Self {
        let start_rate = FairRate::new(limits.starts_per_second, Instant::now());
        let (deleted, closings) = (HashSet::new(), Closings::default());
        let (by_key, by_runtime) = (HashMap::new(), HashMap::new());
        let sessions = Sessions { by_key, by_runtime, start_rate, deleted, closings, n_ended: 0, closed: false };
        let sessions = Mutex::new(sessions);
        let (capabilities, headroom, counters) =
            (driver.capabilities(), Arc::new(Headroom::new(limits.memory_floor)), Arc::default());
        let memory = Memory { most_bytes: limits.pool_memory_bytes, floor_bytes: limits.pool_memory_floor };
        let pools = Pools::new(driver.clone(), journal.clone(), clock.clone(), tasks.clone(), memory, headroom.clone());
        let shared =
            Shared { driver, capabilities, journal, clock, tasks, limits, headroom, counters, pools, sessions };
        Self { shared: Arc::new(shared) }
    }

    /// Returns what its driver can do: every sandbox that it starts has this tier, and these caveats.
    pub fn capabilities(&self) -> &Capabilities {
        &self.shared.capabilities
    }

    /// Returns what has happened so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.get()
    }

    /// Refuses what the driver is too weak for. Nothing is started then.
    fn check_tier(&self, deployment: &Deployment) -> Result<(), Error> {
        let given = self.shared.capabilities.tier;
        match deployment.settings.isolation {
            Some(demanded) if demanded > given => Err(Error::TierTooWeak { demanded, given }),
            _ => Ok(()),
        }
    }

    /// Returns a lease on the session's sandbox, starting one if there is none: concurrent callers share one start, and a caller who
    /// goes away does not cancel it. Whose it is, if that matters, is looked at before anything is started.
    ///
    /// # Cancel safety
    /// Safe: a start that was begun goes on, and a lease that is dropped is given back.
    pub async fn acquire(
        &self,
        session: &SessionId,
        deployment: &Arc<Deployment>,
        asker: Asker<'_>,
    ) -> Result<Lease, Error> {
        let key = deployment.key(session);
        deployment.check_named(asker)?;
        let found = self.shared.sessions.lock().by_key.get(&key).cloned();
        if let Some(session) = found {
            session.check_owner(asker.owner, Some(deployment))?;
            if let Some(lease) = Lease::try_open(&session, false) {
                return Ok(lease);
            }
        }
        let patience = deployment.start_timeout + PATIENCE;
        timeout(patience, self.acquire_cold(&key, deployment, asker)).await.unwrap_or(Err(Error::Busy))
    }

    async fn acquire_cold(
        &self,
        key: &SessionKey,
        deployment: &Arc<Deployment>,
        asker: Asker<'_>,
    ) -> Result<Lease, Error> {
        let (asked_at, mut is_admitted, mut looked_up) = (Instant::now(), false, None);
        loop {
            let asked = Asked { asker: Some(asker), at: asked_at, is_admitted, looked_up };
            let Some(session) = self.find_or_start(key, deployment, asked)? else {
                looked_up = Some(self.check_record(key, (asker.owner)()).await?);
                continue;
            };
            session.check_owner(asker.owner, Some(deployment))?;
            let mut status = session.status.clone();
            let was_provisioning = status.borrow_and_update().state == State::Provisioning;
            // Stopping is where a failed start shows first; a session that was ending already is waited for to its end.
            let settled = status
                .wait_for(|s| match s.state {
                    State::Provisioning => false,
                    State::Running { .. } => true,
                    State::Stopping { .. } => was_provisioning,
                    State::Stopped { .. } => true,
                })
                .await
                .map(|s| s.clone());
            // One that was taken over ran all the time.
            if let Some(lease) = Lease::try_open(&session, was_provisioning && !session.adopted) {
                return Ok(lease);
            }
            let ended = settled.ok().and_then(|s| s.ended).filter(|_| was_provisioning);
            match ended {
                Some(Ended { reason: StopReason::StartFailed { detail: message }, exit, log_tail, source }) => {
                    return Err(Error::from_failure(Failure { message, exit, log_tail, source }));
                }
                Some(Ended {
                    reason: StopReason::RuntimeDeleted | StopReason::VersionDeleted | StopReason::EndpointDeleted,
                    ..
                }) => {
                    return Err(Error::Deleted(key.runtime.clone()));
                }
                // Whoever ended the start did not want it begun anew by those who wait for it.
                Some(Ended { reason: StopReason::StoppedByCaller, exit, log_tail, .. })
                    if session.running.get().is_none() =>
                {
                    let message = "The session was stopped before its agent was ready".to_owned();
                    return Err(Error::StartFailed { message, exit, log_tail });
                }
                // It ran, or was ending, and is gone by now: the next round starts afresh. One that a pool's sandbox failed was admitted.
                _ => {
                    is_admitted |= was_provisioning && session.pooled && session.running.get().is_none();
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Returns the session; none, if whose it was has to be looked up first.
    fn find_or_start(
        &self,
        key: &SessionKey,
        deployment: &Arc<Deployment>,
        asked: Asked<'_>,
    ) -> Result<Option<Arc<Session>>, Error> {
        let Asked { asker, at: asked_at, is_admitted, looked_up } = asked;
        let (room, owner) = (self.room_for(deployment), asker.and_then(|asker| (asker.owner)()));
        let mut sessions = self.shared.sessions.lock();
        if let Some(session) = sessions.by_key.get(key) {
            return Ok(Some(session.clone()));
        }
        if sessions.closed {
            return Err(Error::ShuttingDown);
        }
        if sessions.deleted.contains(&key.runtime) || sessions.closings.since(asked_at, key) {
            return Err(Error::Deleted(key.runtime.clone()));
        }
        self.check_tier(deployment)?;
        // A session that has ended since may have been this one, and another's.
        if deployment.keeps_owners() && looked_up != Some(sessions.n_ended) {
            return Ok(None);
        }
        if !is_admitted {
            // One that waits has its memory already.
            let has_one = self.shared.pools.has_one_for(deployment);
            let memory = if has_one { MemoryLeft::Ample } else { self.memory(&room) };
            self.admit(&mut sessions, &key.runtime, memory)?;
        }
        let request = asker.map(|asker| asker.request.clone());
        let origin = Origin { at: self.shared.clock.now(), request, owner };
        let given = match self.shared.pools.take(deployment) {
            Some(member) => Given::Pooled(member),
            None => {
                let may_make_zygote = self.may_make_zygote(&room, sessions.by_key.len(), deployment);
                Given::Nothing(self.shared.pools.cold_start(deployment, may_make_zygote))
            }
        };
        let session = self.spawn(key.clone(), deployment.clone(), origin, given, asked_at);
        sessions.insert(session.clone());
        drop(sessions);
        if let Some(asker) = asker {
            (asker.on_start)();
        }
        Ok(Some(session))
    }

    /// Takes over a sandbox that a server before this one started for the session `key`, with the time that it has lived and
    /// the request that it was started for.
    /// False if the session has a sandbox already; the caller then ends this one.
    pub fn adopt(
        &self,
        key: SessionKey,
        deployment: Arc<Deployment>,
        sandbox: Arc<dyn Sandbox>,
        origin: Origin,
    ) -> bool {
        let mut sessions = self.shared.sessions.lock();
        if sessions.closed || sessions.by_key.contains_key(&key) {
            return false;
        }
        let session = self.spawn(key.clone(), deployment, origin, Given::Adopted(sandbox), Instant::now());
        sessions.insert(session);
        true
    }

    fn spawn(
        &self,
        key: SessionKey,
        deployment: Arc<Deployment>,
        origin: Origin,
        given: Given,
        asked_at: Instant,
    ) -> Arc<Session> {
        let shared = &self.shared;
        let (status_tx, status) = watch::channel(Status { state: State::Provisioning, ended: None });
        let (commands, commands_rx) = mpsc::channel(4);
        let now = Instant::now();
        // The machine may have been booted since; then the age cannot be told on the monotonic clock, and starts anew.
        let started = now.checked_sub(shared.clock.now().since(origin.at)).unwrap_or(now);
        let session = Arc::new(Session {
            key,
            deployment,
            sandbox: given.sandbox().map_or_else(|| shared.driver.name(), |sandbox| sandbox.id().clone()),
            tier: shared.capabilities.tier,
            started,
            origin,
            adopted: matches!(given, Given::Adopted(_)),
            pooled: matches!(given, Given::Pooled(_)),
            gate: Gate::new(started),
            running: OnceLock::new(),
            status,
            commands,
        });
        let supervisor = Supervisor {
            session: session.clone(),
            driver: shared.driver.clone(),
            journal: shared.journal.clone(),
            clock: shared.clock.clone(),
            tasks: shared.tasks.clone(),
            counters: shared.counters.clone(),
            status: status_tx,
            commands: commands_rx,
            given,
            stopwatch: Stopwatch::asked_at(asked_at),
        };
        let entry = Entry { registry: self.clone(), session: session.clone() };
        shared.tasks.spawn(Kind::Session, async move {
            let end = supervisor.run().await;
            // First out of the registry, then the news: who waits for the end finds the place free.
            drop(entry);
            if let End::Gone(status, stopped) = end {
                status.send_modify(|s| {
                    s.state = stopped;
                });
            }
        });
        session
    }

    /// Tells the session to end: aborts its streams, marks it Stopping, returns. `Busy` while it starts, and while it ends
    /// already, unless `grace` is zero: that ends the start, and cuts the grace of an end short.
    pub async fn stop(&self, key: &SessionKey, reason: StopReason, grace: Duration) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.command(key, Command::Stop { reason, grace, reply }).await?;
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Error::Busy),
            Err(_) => Err(Error::NotRunning(key.clone())),
        }
    }

    /// Tells the session to end if no request is open and its agent is not busy; tells whether it does.
    pub async fn stop_if_unused(&self, key: &SessionKey, reason: StopReason) -> Result<bool, Error> {
        let (reply, answer) = oneshot::channel();
        self.command(key, Command::StopIfUnused { reason, reply }).await?;
        answer.await.map_err(|_| Error::NotRunning(key.clone()))
    }

    async fn command(&self, key: &SessionKey, command: Command) -> Result<(), Error> {
        let session = self.shared.sessions.lock().by_key.get(key).cloned();
        let session = session.ok_or_else(|| Error::NotRunning(key.clone()))?;
        session.commands.send(command).await.map_err(|_| Error::NotRunning(key.clone()))
    }

    /// Ends every sandbox of a runtime, for good, or of one version of it, and waits until they are gone.
    pub async fn stop_runtime(&self, arn: &RuntimeArn, version: Option<RuntimeVersion>, reason: StopReason) {
        if version.is_none() {
            self.shared.sessions.lock().deleted.insert(arn.runtime.clone());
        }
        let matches =
            |s: &Session| s.key.runtime == arn.runtime && version.is_none_or(|version| s.deployment.version == version);
        let is_pool =
            |key: &PoolKey| key.runtime == arn.runtime && version.is_none_or(|version| key.version == version);
        let members = self.shared.pools.end(is_pool, limits::STOP_GRACE);
        tokio::join!(members, self.stop_all(matches, &reason, limits::STOP_GRACE));
        // Last: a start that was under way may have wanted a zygote.
        self.shared.driver.forget(&is_pool);
    }
}

/// One attempt to find or start a session.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    /// None: nobody in particular.
    asker: Option<Asker<'a>>,
    at: Instant,
    /// Whether it was let in before, and is not to be counted again.
    is_admitted: bool,
    /// How many sessions had ended when the record of this one was looked up, if it was.
    looked_up: Option<u64>,
}

/// A session's place in the registry; given up when its actor ends, however it ends.
#[derive(Debug)]
struct Entry {
    registry: Registry,
    session: Arc<Session>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut sessions = self.registry.shared.sessions.lock();
        if sessions.by_key.get(&self.session.key).is_some_and(|s| Arc::ptr_eq(s, &self.session)) {
            sessions.remove(&self.session.key);
        }
    }
}
