//! The actor that owns one session's sandbox: feeds what happens to `lifecycle::step` and performs its effects.

mod obtain;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_protocol::ping::{Ping, PingStatus};
use innkeep_store::SessionRecord;
use innkeep_types::lifecycle::{self, Effect, Event, State, Step};
use innkeep_types::{Clock, StopReason};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use crate::counts::Counters;
use crate::driver::{self, Driver, Sandbox};
use crate::journal::Journal;
use crate::phases::{Phase, Start, Stopwatch};
use crate::session::{Command, Ended, Running, Session, Status};
use crate::start::{self, Failure};
use crate::tasks::{Kind, Tasks};
use crate::upstream::Upstream;
pub(crate) use obtain::Given;

/// Everything the actor of one session owns.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) session: Arc<Session>,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tasks: Tasks,
    pub(crate) counters: Arc<Counters>,
    pub(crate) status: watch::Sender<Status>,
    /// Bounded: a caller who stops a session waits for its turn.
    pub(crate) commands: mpsc::Receiver<Command>,
    /// What is there of its sandbox.
    pub(crate) given: Given,
    /// Measures a start that is made here.
    pub(crate) stopwatch: Stopwatch,
}

/// How an actor's life ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The sandbox is gone, and the session is Stopped with this.
    Gone(watch::Sender<Status>, State),
    /// The sandbox lives on for the next server.
    Detached,
}

/// What a running actor keeps besides the published state.
#[derive(Debug)]
struct Wake {
    at: Instant,
    /// Set when the gate closes: how long the sandbox may take to end.
    kill: Option<Duration>,
    /// The sandbox is to live on without this server.
    detached: bool,
}

impl Supervisor {
    /// Lives as long as the sandbox, or until it is detached. The caller removes the session from the registry afterwards, then
    /// publishes its end with the returned state.
    pub(crate) async fn run(mut self) -> End {
        // The record is written beside the start, so that an fsync does not delay the caller; the gate opens after both.
        let recording = match self.given {
            Given::Adopted(_) => None,
            _ => Some(self.tasks.spawn(Kind::Session, self.record(None))),
        };
        let sandbox = match &self.given {
            Given::Adopted(sandbox) => Some(self.bind_again(sandbox.clone()).await),
            Given::Pooled(sandbox) => self.bind(sandbox.clone()).await,
            Given::Nothing(_) => self.start().await,
        };
        if let Some(sandbox) = &sandbox {
            if self.watch_over(sandbox, recording).await.is_break() {
                return End::Detached;
            }
        } else if let Some(recording) = recording {
            // The record of the start must not come after that of the end.
            let _ = recording.await;
        }
        let reason = match self.status.borrow().state.clone() {
            State::Stopping { reason } | State::Stopped { reason } => reason,
            _ => StopReason::HostLost { exit: None },
        };
        self.record(Some(reason.clone())).await;
        let session = &self.session;
        let never_ran = session.running.get().is_none();
        if never_ran && !session.adopted && !session.pooled {
            self.counters.not_ready(&reason);
        }
        // One that a pool's sandbox failed is started again, and counted then.
        if !(never_ran && session.pooled) {
            self.counters.stopped(&reason);
        }
        info!(session.key = %session.key, sandbox.id = %session.sandbox, stop.reason = reason.as_str(),
            "session {} stopped: {}", session.key, reason.as_str());
        End::Gone(self.status, State::Stopped { reason })
    }

    /// Runs the sandbox to its end, unless it is detached.
    async fn watch_over(&mut self, sandbox: &Arc<dyn Sandbox>, recording: Option<JoinHandle<bool>>) -> ControlFlow<()> {
        let mut agent = sandbox.state();
        let mut wake = self.idle_wake();
        let first_ping = self.until_ready(&mut agent, &mut wake).await;
        // An answer must not be given for a session that a crash would forget.
        let is_recorded = match recording {
            Some(recording) => recording.await.unwrap_or(false),
            None => true,
        };
        let needs_record = self.session.pooled || self.session.deployment.keeps_owners();
        match first_ping {
            Some(Ok(_)) if needs_record && !is_recorded => self.unrecorded(&mut wake),
            Some(Ok(ping)) => self.ready(sandbox, ping, &mut wake),
            Some(Err(failure)) => {
                let mut ended = failure.into_ended();
                if self.session.adopted || self.session.pooled {
                    // It did start once; it ended while no server was there, or when it was taken: who asked starts afresh.
                    ended.reason = StopReason::HostLost { exit: ended.exit };
                }
                self.feed(Event::StartFailed(ended.reason.clone()), Some(ended), &mut wake);
            }
            None => {}
        }
        while wake.kill.is_none() && !wake.detached {
            tokio::select! {
                changed = agent.changed() => {
                    if changed.is_err() {
                        self.lost(&mut wake);
                    } else {
                        let level = agent.borrow_and_update().clone();
                        self.agent_changed(level, &mut wake);
                    }
                }
                Some(command) = self.commands.recv() => self.obey(command, &mut wake),
                () = sleep_until(wake.at) => self.feed(Event::Tick, None, &mut wake),
            }
        }
        if wake.detached {
            return ControlFlow::Break(());
        }
        self.end(sandbox, wake.kill.unwrap_or_default()).await;
        ControlFlow::Continue(())
    }

    /// Gives up a session without a record, which the next server would take for one that waits, or its id for nobody's.
    fn unrecorded(&mut self, wake: &mut Wake) {
        let source = std::io::Error::other("the store did not take it");
        let sandbox = self.session.sandbox.clone();
        let failure = Failure::from_driver(driver::Error::Host { sandbox, what: "record the session", source });
        let ended = failure.into_ended();
        self.feed(Event::StartFailed(ended.reason.clone()), Some(ended), wake);
    }

    /// Waits for the first good health answer; meanwhile only the server itself, or a stop without grace, may end the start.
    /// None if it did.
    async fn until_ready(
        &mut self,
        agent: &mut watch::Receiver<AgentState>,
        wake: &mut Wake,
    ) -> Option<Result<Ping, Failure>> {
        loop {
            tokio::select! {
                ping = start::timed_ping(agent, &mut self.stopwatch) => return Some(ping),
                Some(command) = self.commands.recv() => {
                    self.obey(command, wake);
                    if wake.kill.is_some() || wake.detached {
                        return None;
                    }
                }
            }
        }
    }

    fn ready(&mut self, sandbox: &Arc<dyn Sandbox>, ping: Ping, wake: &mut Wake) {
        let session = self.session.clone();
        let age = session.started.elapsed();
        let after = (!session.adopted).then_some(age);
        if let Some(after) = after {
            self.counters.ready(after);
        }
        if let Given::Nothing(cold) = &mut self.given {
            cold.ready(age);
        }
        let upstream = Arc::new(Upstream::new(sandbox.clone()));
        self.stopwatch.end(Phase::Pool);
        let start = (!session.adopted).then(|| Start::new(&self.stopwatch, self.counters.clone()));
        // The actor sets it once, and the gate opens after it.
        let _ = session.running.set(Running { sandbox: sandbox.clone(), upstream, after, start });
        self.feed(Event::Ready, None, wake);
        self.health(ping, wake);
        info!(session.key = %session.key, sandbox.id = %session.sandbox, session.tier = session.tier.as_str(),
            session.age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX), session.adopted = session.adopted,
            "session {} ready", session.key);
    }

    fn agent_changed(&mut self, level: AgentState, wake: &mut Wake) {
        match level {
            AgentState::Healthy(ping) => self.health(ping, wake),
            AgentState::Missed { misses, detail } => {
                // An agent that serves one connection at a time is deaf to the next check while we keep one open.
                if let Some(running) = self.session.running.get() {
                    running.upstream.close_idle();
                }
                self.feed(Event::Missed { misses, detail }, None, wake);
            }
            AgentState::Exited(facts) => {
                let ended = after_exit(facts);
                self.feed(Event::AgentExited(ended.reason.clone()), Some(ended), wake);
            }
            AgentState::Starting | AgentState::Listening | AgentState::NotReady { .. } => {}
        }
    }

    /// The idle clock counts from the last change of status by our own clock, or from the agent's own `time_of_last_update` if
    /// that is later and not in the future. Source: the developer guide and
    /// measurements of the service, which differ; this satisfies both.
    fn health(&mut self, ping: Ping, wake: &mut Wake) {
        let State::Running { busy: was_busy, changed } = self.status.borrow().state.clone() else { return };
        let age = self.session.started.elapsed();
        let busy = ping.status == PingStatus::HealthyBusy;
        let said = ping.time_of_last_update.and_then(|secs| {
            let ago_ms = self.clock.now().0.checked_sub(secs.checked_mul(1000)?)?;
            Some(age.saturating_sub(Duration::from_millis(u64::try_from(ago_ms).ok()?)))
        });
        let seen = if busy == was_busy { changed } else { age };
        self.feed(Event::Health { busy, changed: said.map_or(seen, |said| said.max(seen)) }, None, wake);
    }

    fn lost(&mut self, wake: &mut Wake) {
        let reason = StopReason::HostLost { exit: None };
        self.feed(Event::AgentExited(reason.clone()), Some(Ended::for_reason(reason)), wake);
    }

    fn obey(&mut self, command: Command, wake: &mut Wake) {
        match command {
            Command::Stop { reason, grace, reply } => {
                let result = match self.step(Event::Stop { reason, grace }, None, wake) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(denied) => Err(denied),
                };
                // The caller may have gone away; the stop goes on.
                let _ = reply.send(result);
            }
            Command::StopIfUnused { reason, reply } => {
                let running = matches!(self.status.borrow().state, State::Running { busy: false, .. });
                if running {
                    self.perform(Effect::CloseIfUnused(reason), wake);
                }
                let _ = reply.send(running && wake.kill.is_some());
            }
            Command::Detach => {
                self.session.gate.close();
                wake.detached = true;
            }
        }
    }

    fn feed(&mut self, event: Event, ended: Option<Ended>, wake: &mut Wake) {
        let _ = self.step(event, ended, wake);
    }

    fn step(&mut self, event: Event, ended: Option<Ended>, wake: &mut Wake) -> ControlFlow<lifecycle::Denied> {
        let state = self.status.borrow().state.clone();
        let rules = self.session.deployment.rules();
        match lifecycle::step(state, event, self.session.now(), &rules) {
            Err(denied) => ControlFlow::Break(denied),
            Ok(Step { state, effects }) => {
                // The gate moves before the news of it: who hears Running can enter.
                let (gate, rest): (Vec<_>, Vec<_>) =
                    effects.into_iter().partition(|e| matches!(e, Effect::OpenGate | Effect::CloseGate));
                gate.into_iter().for_each(|effect| self.perform(effect, wake));
                self.publish(state, ended);
                rest.into_iter().for_each(|effect| self.perform(effect, wake));
                ControlFlow::Continue(())
            }
        }
    }

    fn perform(&mut self, effect: Effect, wake: &mut Wake) {
        match effect {
            Effect::OpenGate => self.session.gate.open(),
            Effect::CloseGate => self.session.gate.close(),
            Effect::CloseIfUnused(reason) => {
                if self.session.gate.close_if_unused() {
                    self.feed(Event::Unused(reason), None, wake);
                }
            }
            Effect::Kill { grace } => wake.kill = Some(grace),
            Effect::WakeAt(age) => wake.at = self.session.started + age,
        }
    }

    fn publish(&self, state: State, ended: Option<Ended>) {
        let ended = ended.or_else(|| match &state {
            State::Stopping { reason } => Some(Ended::for_reason(reason.clone())),
            _ => None,
        });
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                status.state = state;
                status.ended = status.ended.take().or(ended);
            }
            changed
        });
    }

    /// Ends the sandbox, and goes on answering meanwhile. A stop without grace hastens the end; the first reason stands.
    async fn end(&mut self, sandbox: &Arc<dyn Sandbox>, grace: Duration) {
        if let Some(running) = self.session.running.get() {
            running.upstream.close();
        }
        let mut end = Box::pin(start::end(sandbox, grace));
        loop {
            tokio::select! {
                _ = &mut end => return,
                Some(command) = self.commands.recv() => match command {
                    Command::Stop { grace: Duration::ZERO, reply, .. } => {
                        end = Box::pin(start::end(sandbox, Duration::ZERO));
                        // As with every stop, the caller may have gone away.
                        let _ = reply.send(Ok(()));
                    }
                    other => self.obey(other, &mut self.idle_wake()),
                },
            }
        }
    }

    fn idle_wake(&self) -> Wake {
        Wake { at: self.session.started + self.session.deployment.rules().max_lifetime, kill: None, detached: false }
    }

    fn record(&self, stopped: Option<StopReason>) -> impl Future<Output = bool> + Send + use<> {
        let (session, journal) = (&self.session, self.journal.clone());
        let record = SessionRecord {
            key: session.key.clone(),
            sandbox: session.sandbox.clone(),
            version: session.deployment.version,
            tier: session.tier,
            started_at: session.origin.at,
            started_by: session.origin.request.clone(),
            owner: session.origin.owner,
            stopped: stopped.map(|reason| (self.clock.now(), reason)),
        };
        async move { journal.record(record).await }
    }
}

/// Why a sandbox whose agent ended did end.
fn after_exit(facts: ExitFacts) -> Ended {
    let reason = match facts.cause {
        ExitCause::Deadline => StopReason::MaxLifetime,
        ExitCause::OutOfMemory => StopReason::OutOfMemory,
        ExitCause::Itself | ExitCause::Stopped | ExitCause::NotReady => StopReason::AgentExited { exit: facts.exit },
    };
    Ended { reason, exit: Some(facts.exit), log_tail: facts.log_tail, source: None }
}
