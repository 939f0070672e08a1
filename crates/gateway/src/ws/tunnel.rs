//! What follows a 101: the caller's connection, once the server has let go of it, the agent's or a shell, and what keeps the session.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use hyper::upgrade::{OnUpgrade, Upgraded};
use innkeep_types::RequestId;
use parking_lot::Mutex;

use super::counts::{Open, WebSocketEnd};
use super::flow::Rules;
use super::pipe::{End, Pipe};
use crate::shells::client;
use crate::stream::{Interrupt, Watch, died};

/// Extension of an answer with status 101: who serves the connection takes it out and, once that is upgraded, [runs](Self::run) it.
/// Dropping it closes the agent's connection, or leaves the shell.
#[derive(Clone)]
pub struct Tunnel(Arc<Mutex<Option<Far>>>);

/// What is at its other end.
enum Far {
    Agent(Box<Parts>),
    Shell(Box<client::Parts>),
}

/// All that it takes.
pub(crate) struct Parts {
    pub(crate) request_id: RequestId,
    pub(crate) client: OnUpgrade,
    pub(crate) agent: Upgraded,
    /// Holds the lease.
    pub(crate) watch: Watch,
    pub(crate) rules: Rules,
    pub(crate) open: Open,
}

impl Tunnel {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Mutex::new(Some(Far::Agent(Box::new(parts))))))
    }

    pub(crate) fn to_shell(parts: client::Parts) -> Self {
        Self(Arc::new(Mutex::new(Some(Far::Shell(Box::new(parts))))))
    }

    /// Passes frames on until one side ends, a limit is crossed, the session ends or `stopping` does. The session stays Active
    /// meanwhile.
    ///
    /// # Cancel safety
    /// Dropping the future closes both connections.
    pub async fn run(self, stopping: impl Future<Output = ()>) {
        let far = self.0.lock().take();
        match far {
            Some(Far::Agent(parts)) => pass(*parts, stopping).await,
            Some(Far::Shell(parts)) => client::run(*parts, stopping).await,
            None => {}
        }
    }
}

async fn pass(parts: Parts, stopping: impl Future<Output = ()>) {
    let Parts { request_id, client, agent, watch, rules, mut open } = parts;
    let Ok(client) = client.await else { return };
    let mut pipe = Box::new(Pipe::new(client, agent, rules));
    let end = tokio::select! {
        biased;
        end = pipe.pass() => end,
        interrupt = watch => why(interrupt),
        () = stopping => End::Shutdown,
    };
    open.ended(WebSocketEnd::of(&end));
    tracing::debug!(request.id = %request_id, "the WebSocket of request {request_id} ends: {end:?}");
    pipe.finish(&end).await;
}

/// An agent that ended by itself has gone, whoever says so first.
fn why(interrupt: Option<Interrupt>) -> End {
    match interrupt {
        Some(Interrupt::Ended(ended)) if died(&ended.reason) => End::AgentGone,
        Some(Interrupt::Ended(ended)) => End::SessionEnded(ended.reason.as_str()),
        Some(Interrupt::TooLong) | None => End::TooLong,
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").finish_non_exhaustive()
    }
}
