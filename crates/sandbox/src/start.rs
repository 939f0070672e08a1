//! From a deployment to an agent that answers, or to the reason why not. Shared by sessions and by the first boot of a version.

use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitCause, ExitFacts};
use innkeep_protocol::ping::Ping;
use innkeep_types::{AgentExit, StopReason, limits};
use tokio::sync::watch;

use crate::deployment::Deployment;
use crate::driver::{self, Sandbox};
use crate::phases::{Phase, Stopwatch};
use crate::session::Ended;
use crate::warmup::warm_up;

/// Why an agent did not start.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// For any caller, a whole sentence.
    pub(crate) message: String,
    pub(crate) exit: Option<AgentExit>,
    pub(crate) log_tail: Vec<String>,
    /// The driver's own error, if that was it.
    pub(crate) source: Option<Arc<driver::Error>>,
}

impl Failure {
    pub(crate) fn from_driver(error: driver::Error) -> Self {
        let message = match &error {
            driver::Error::Agent { message } => format!("The agent could not be started: {message}"),
            driver::Error::NoNetwork { why, fix } => format!(
                "The public network cannot be given to sandboxes on this host: {why}. Next: {fix}; or deploy an agent that needs \
                 none with `--set egress=none`."
            ),
            driver::Error::NoImages { why, fix } => {
                format!("Images cannot be run on this server: {why}. Next: {fix}.")
            }
            _ => "The sandbox could not be started".to_owned(),
        };
        Self { message, exit: None, log_tail: Vec::new(), source: Some(Arc::new(error)) }
    }

    /// Returns a failure of which nothing more is known.
    pub(crate) fn of_message(message: String) -> Self {
        Self { message, exit: None, log_tail: Vec::new(), source: None }
    }

    fn exited(facts: &ExitFacts) -> Self {
        let message = match (facts.cause, &facts.detail) {
            (ExitCause::NotReady, Some(detail)) => detail.clone(),
            (ExitCause::OutOfMemory, _) => {
                "The agent ran out of memory before it was ready; give it more with the setting memory_mib".to_owned()
            }
            (ExitCause::NotReady, None) => "The agent did not become ready in time".to_owned(),
            _ => format!("The agent ended with {} before it was ready", facts.exit),
        };
        Self { message, exit: Some(facts.exit), log_tail: facts.log_tail.clone(), source: None }
    }

    /// Returns the failure of an agent that was ready, and ended before it had answered `what`; none: its sandbox was lost.
    pub(crate) fn before(what: &str, ended: Option<&ExitFacts>) -> Self {
        let Some(facts) = ended else {
            return Self::of_message(format!("The sandbox was lost before the agent answered {what}"));
        };
        let message = match facts.cause {
            ExitCause::OutOfMemory => {
                format!(
                    "The agent ran out of memory before it answered {what}; give it more with the setting memory_mib"
                )
            }
            _ => format!("The agent ended with {} before it answered {what}", facts.exit),
        };
        Self { message, ..Self::exited(facts) }
    }

    /// Adds the log lines of an agent that was ended to a failure that came before its end.
    pub(crate) fn with_last_words(self, ended: Option<ExitFacts>) -> Self {
        match ended {
            Some(facts) if self.log_tail.is_empty() => Self { log_tail: facts.log_tail, ..self },
            _ => self,
        }
    }

    pub(crate) fn into_ended(self) -> Ended {
        let reason = StopReason::StartFailed { detail: self.message };
        Ended { reason, exit: self.exit, log_tail: self.log_tail, source: self.source }
    }
}

/// Waits until the agent of a version that is being made is ready for requests, the first of which may be its warm-up.
///
/// # Cancel safety
/// Safe: the agent sees the connection of its warm-up close.
pub(crate) async fn boot(sandbox: &Arc<dyn Sandbox>, deployment: &Deployment) -> Result<(), Failure> {
    first_ping(&mut sandbox.state()).await?;
    match &deployment.warmup {
        Some(warmup) => warm_up(sandbox, deployment.protocol.port, warmup).await,
        None => Ok(()),
    }
}

/// Like [`first_ping`], and measures what it waits for.
///
/// # Cancel safety
/// Safe: what was measured stays so.
pub(crate) async fn timed_ping(
    state: &mut watch::Receiver<AgentState>,
    stopwatch: &mut Stopwatch,
) -> Result<Ping, Failure> {
    let past = state.wait_for(|state| !matches!(state, AgentState::Starting)).await;
    if past.is_ok_and(|state| matches!(*state, AgentState::Listening)) {
        stopwatch.end(Phase::Agent);
    }
    let ping = first_ping(state).await?;
    stopwatch.end(Phase::Ping);
    Ok(ping)
}

/// Waits for the first good health answer.
///
/// # Cancel safety
/// Safe: it only looks.
pub(crate) async fn first_ping(state: &mut watch::Receiver<AgentState>) -> Result<Ping, Failure> {
    loop {
        // The guard must not live across the await below.
        let level = state.borrow_and_update().clone();
        match level {
            // Only one that was ready before says so: it waited, or another server started it.
            AgentState::Missed { misses, detail } if misses >= limits::PING_MISSES => {
                return Err(Failure::of_message(format!("The agent is not healthy any more: {detail}")));
            }
            AgentState::Starting | AgentState::Listening | AgentState::Missed { .. } => {}
            AgentState::Healthy(ping) => return Ok(ping),
            AgentState::NotReady { detail } => return Err(not_ready(detail, state).await),
            AgentState::Exited(facts) => return Err(Failure::exited(&facts)),
        }
        if state.changed().await.is_err() {
            return Err(Failure::of_message("The sandbox was lost before the agent was ready".to_owned()));
        }
    }
}

/// The sidecar is ending an agent that was not ready: its exit brings the log lines.
async fn not_ready(detail: String, state: &mut watch::Receiver<AgentState>) -> Failure {
    let exited = state.wait_for(|s| matches!(s, AgentState::Exited(_)));
    let facts = match tokio::time::timeout(limits::STOP_GRACE + Duration::from_secs(2), exited).await {
        Ok(Ok(state)) => match &*state {
            AgentState::Exited(facts) => Some(facts.clone()),
            _ => None,
        },
        _ => None,
    };
    let (exit, log_tail) = facts.map_or((None, Vec::new()), |f| (Some(f.exit), f.log_tail));
    Failure { message: detail, exit, log_tail, source: None }
}

/// Ends a sandbox; the log says if something of it could not be ended.
pub(crate) async fn end(sandbox: &Arc<dyn Sandbox>, grace: Duration) -> Option<ExitFacts> {
    let facts = sandbox.kill(grace).await;
    tracing::debug!(sandbox.id = %sandbox.id(), "sandbox {} ended", sandbox.id());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_said_once() {
        let failure = Failure::from_driver(driver::Error::Agent { message: "could not execute x".to_owned() });
        assert_eq!(failure.message, "The agent could not be started: could not execute x");
    }
}
