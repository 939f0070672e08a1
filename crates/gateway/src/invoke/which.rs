//! Which session an invocation is for. Its head may name it, and where that is what is spoken, or where agents go by name, so may an MCP
//! client's header and the body.

use http::request;
use innkeep_sandbox::Deployment;
use innkeep_types::{ServerProtocol, SessionId};
use tokio::time::Instant;

use crate::error::Error;
use crate::gateway::Gateway;
use crate::inbound::Inbound;
use crate::route::Door;
use crate::spool::Spooled;
use crate::{alias, mcp};

/// A session, and what else may name another.
pub(super) struct Which {
    pub(super) session: SessionId,
    /// Whether the head says so, and not chance.
    is_named: bool,
    /// What an MCP client says, where nothing else does.
    of_mcp: Result<Option<SessionId>, Error>,
}

impl Which {
    /// Returns what is known from the head, which names `named`: until what the runtime speaks is known, every name counts.
    pub(super) fn by_head(named: Option<SessionId>, head: &request::Parts) -> Self {
        let of_mcp = if named.is_none() { mcp::session(head) } else { Ok(None) };
        let is_named = named.is_some();
        let named = named.or_else(|| of_mcp.as_ref().ok().cloned().flatten());
        Self { session: named.unwrap_or_else(SessionId::generate), is_named, of_mcp }
    }

    /// Decides, now that it is known what serves the request. Returns whether it is another session than before.
    pub(super) async fn settle(
        &mut self,
        gateway: &Gateway,
        (door, deployment): (Door, &Deployment),
        read: Option<&Spooled>,
        body: &mut Inbound,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let is_mcp = deployment.protocol.server == ServerProtocol::Mcp;
        let mut is_another = false;
        match std::mem::replace(&mut self.of_mcp, Ok(None)) {
            Err(error) if is_mcp => return Err(error),
            Ok(Some(_)) if is_mcp => self.is_named = true,
            Ok(Some(_)) => {
                self.session = SessionId::generate();
                is_another = true;
            }
            _ => {}
        }
        if door == Door::Agents
            && !self.is_named
            && let Some(named) = alias::session_in_body(gateway, read, body, deadline).await?
        {
            self.session = named;
            is_another = true;
        }
        Ok(is_another)
    }
}
