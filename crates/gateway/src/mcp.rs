//! What only MCP has: a session named by its own header, and what clients must accept. Source: AgentCore developer guide, MCP protocol
//! contract; MCP specification 2025-11-25, "Streamable HTTP".
//!
//! ```text
//! client                          here                                         server
//!   POST initialize               a session, fresh or named                    POST initialize, no Mcp-Session-Id
//!   Mcp-Session-Id: ours     ◄──  sessions: ours stands for its own       ◄──  Mcp-Session-Id: its own, if it has any
//!   POST, Mcp-Session-Id: ours    names the session; becomes its own      ──►  POST, Mcp-Session-Id: its own, or ours
//! ```

mod sessions;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode, request};
use innkeep_protocol::headers;
use innkeep_sandbox::Lease;
use innkeep_types::SessionId;

use crate::call::{self, Caller, header_value};
use crate::error::Error;
use crate::gateway::Gateway;
use sessions::Known;

pub(crate) use sessions::Sessions;

/// What a client must accept, both, by name. Source: MCP specification, "Sending Messages to the Server".
const ACCEPTED: [&str; 2] = ["application/json", "text/event-stream"];

/// Returns the session that a client's `Mcp-Session-Id` names, if it sends one.
pub(crate) fn session(head: &request::Parts) -> Result<Option<SessionId>, Error> {
    call::session_in(head, &headers::MCP_SESSION_ID, "mcpSessionId")
}

/// One request to an MCP server.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    sessions: &'a Sessions,
    session: &'a SessionId,
    /// As the client sent it.
    named: Option<&'a HeaderValue>,
    is_initialize: bool,
}

impl<'a> Exchange<'a> {
    /// Returns the request with this head, in `session`. Refuses a client that does not accept what servers may send.
    pub(crate) fn begin(
        gateway: &'a Gateway,
        session: &'a SessionId,
        head: &'a request::Parts,
        caller: &mut Caller,
    ) -> Result<Self, Error> {
        let named = head.headers.get(headers::MCP_SESSION_ID);
        let exchange =
            Self { sessions: &gateway.mcp_sessions, session, named, is_initialize: caller.glance.is_initialize };
        caller.mcp_session = Some(exchange.ours());
        if accepts(&head.headers) { Ok(exchange) } else { Err(Error::NotAcceptable) }
    }

    /// Writes into the server's request which of its sessions it is for: its own id for the one that the client names. A client that names
    /// none begins one, of which a server that keeps sessions must not be told an id, because it would look for it; every other server gets
    /// ours.
    pub(crate) fn tell(&self, lease: &Lease, to_server: &mut HeaderMap) -> Result<(), Error> {
        let id = match self.named {
            None if self.is_initialize => {
                to_server.remove(headers::MCP_SESSION_ID);
                return Ok(());
            }
            None => self.ours(),
            Some(named) => match self.sessions.get(&lease.deployment().key(self.session), lease.upstream(), named) {
                Known::Here(own) => own,
                Known::Gone => return Err(Error::McpSessionGone),
                Known::Not => named.clone(),
            },
        };
        to_server.insert(headers::MCP_SESSION_ID, id);
        Ok(())
    }

    /// Returns the id that the client is told for the one that the server answered with, if it did.
    pub(crate) fn shown(&self, lease: &Lease, from_server: &HeaderMap) -> HeaderValue {
        let ours = self.ours();
        match from_server.get(headers::MCP_SESSION_ID) {
            Some(own) if *own != ours => {
                let key = lease.deployment().key(self.session);
                self.sessions.remember(key, lease.upstream(), self.named, ours, own)
            }
            _ => ours,
        }
    }

    /// Returns what the client calls the session, unless that is taken.
    fn ours(&self) -> HeaderValue {
        self.named.cloned().unwrap_or_else(|| header_value(self.session.as_str()))
    }

    /// Returns what a failure means here: to a server that keeps sessions, 404 is that it does not know this one.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::AgentStatus(StatusCode::NOT_FOUND) if self.named.is_some() => Error::McpSessionGone,
            error => error,
        }
    }
}

fn accepts(headers: &HeaderMap) -> bool {
    let listed = |wanted: &str| {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut ranges =
            values.flat_map(|value| value.split(',')).map(|range| range.split(';').next().unwrap_or_default());
        ranges.any(|range| range.trim().eq_ignore_ascii_case(wanted))
    };
    ACCEPTED.into_iter().all(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_types_must_be_listed() {
        let check = |values: &[&'static str], expect| {
            let headers = values.iter().map(|value| (ACCEPT, HeaderValue::from_static(value))).collect();
            assert_eq!(accepts(&headers), expect, "{values:?}");
        };
        check(&["application/json, text/event-stream"], true);
        check(&["text/event-stream;q=0.5,Application/JSON; charset=utf-8"], true);
        check(&["application/json", "text/event-stream"], true);
        for one in [
            "application/json",
            "text/event-stream",
            "*/*",
            "application/*, text/*",
            "",
            "application/jsonx, text/event-stream",
        ] {
            check(&[one], false);
        }
        check(&[], false);
    }
}
