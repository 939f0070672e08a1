//! How a session comes by its sandbox: one that waited is bound, one of a server before this one is bound again, or one is started.

use std::sync::Arc;
use std::time::Duration;

use innkeep_types::StopReason;
use innkeep_types::lifecycle::Event;
use tracing::warn;

use super::Supervisor;
use crate::driver::{Binding, Sandbox};
use crate::phases::{Phase, StartWay};
use crate::pool::ColdStart;
use crate::start::{self, Failure};

/// What is there of a session's sandbox when its actor begins.
#[derive(Debug)]
pub(crate) enum Given {
    /// Nothing: it is started here.
    Nothing(ColdStart),
    /// One that waited for a session.
    Pooled(Arc<dyn Sandbox>),
    /// The session's own, which a server before this one started.
    Adopted(Arc<dyn Sandbox>),
}

impl Given {
    /// Returns the sandbox, if there is one.
    pub(crate) fn sandbox(&self) -> Option<&Arc<dyn Sandbox>> {
        match self {
            Self::Nothing(_) => None,
            Self::Pooled(sandbox) | Self::Adopted(sandbox) => Some(sandbox),
        }
    }
}

impl Supervisor {
    /// Makes a sandbox that waited the session's. None if it cannot be; the state then says so, and nothing is left.
    pub(super) async fn bind(&mut self, sandbox: Arc<dyn Sandbox>) -> Option<Arc<dyn Sandbox>> {
        let session = self.session.clone();
        let binding = Binding { ends_at: self.clock.now().plus(session.deployment.rules().max_lifetime) };
        self.stopwatch.way = StartWay::Pool;
        self.stopwatch.end(Phase::Queue);
        let Err(error) = sandbox.bind(&binding).await else { return Some(sandbox) };
        warn!(session.key = %session.key, sandbox.id = %session.sandbox, error = &error as &dyn std::error::Error,
            "session {} does not get sandbox {}, which had waited for one: {error}", session.key, session.sandbox);
        start::end(&sandbox, Duration::ZERO).await;
        let event = Event::StartFailed(StopReason::HostLost { exit: None });
        let mut wake = self.idle_wake();
        self.feed(event, None, &mut wake);
        None
    }

    /// Binds a sandbox that a server before this one left: one that was killed between the record of a session and the binding left it with
    /// the time of those that wait. Who is bound already is told the same once more.
    pub(super) async fn bind_again(&self, sandbox: Arc<dyn Sandbox>) -> Arc<dyn Sandbox> {
        let session = &self.session;
        let binding = Binding { ends_at: session.origin.at.plus(session.deployment.rules().max_lifetime) };
        if let Err(error) = sandbox.bind(&binding).await {
            // It is the session's all the same. A sidecar that is too old to be bound never waited.
            warn!(session.key = %session.key, sandbox.id = %session.sandbox, error = &error as &dyn std::error::Error,
                "sandbox {} of session {} could not be told when it ends: {error}", session.sandbox, session.key);
        }
        sandbox
    }

    /// Launches the sandbox. None if that failed; the state then says so, and nothing is left.
    pub(super) async fn start(&mut self) -> Option<Arc<dyn Sandbox>> {
        let session = &self.session;
        let may_make_zygote = matches!(&self.given, Given::Nothing(cold) if cold.may_make_zygote());
        let spec = session.deployment.launch_spec(session.sandbox.clone(), self.clock.now(), may_make_zygote);
        self.stopwatch.end(Phase::Queue);
        match self.driver.launch(spec).await {
            Ok(sandbox) => {
                if sandbox.was_forked() {
                    self.stopwatch.way = StartWay::Zygote;
                }
                self.stopwatch.end(Phase::Launch);
                Some(sandbox)
            }
            Err(error) => {
                warn!(session.key = %session.key, error = &error as &dyn std::error::Error,
                    "session {} could not be launched", session.key);
                let ended = Failure::from_driver(error).into_ended();
                let event = Event::StartFailed(ended.reason.clone());
                let mut wake = self.idle_wake();
                self.feed(event, Some(ended), &mut wake);
                None
            }
        }
    }
}
