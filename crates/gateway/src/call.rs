//! One request as it came in: its head, checked, and the few facts about its caller that every answer carries.

use std::fmt;
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, request};
use innkeep_auth::jwt::Identity;
use innkeep_protocol::headers;
use innkeep_protocol::json_rpc::Glance;
use innkeep_types::{InvocationState, RequestId, ServerProtocol, SessionId, UnixMillis};

use crate::audit::Telling;
use crate::authenticate::Signer;
use crate::error::Error;
use crate::resolve::Resolved;

/// What is known of the caller so far; answers and errors are labelled with it.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) request_id: RequestId,
    /// The session, once it is known to be a valid one.
    pub(crate) session: Option<SessionId>,
    /// Who it is, once that is proven.
    pub(crate) principal: Option<Principal>,
    /// What is sent along with a 401, once it is known that the agent takes tokens.
    pub(crate) challenge: Option<HeaderValue>,
    /// What the runtime speaks, once he may know; his errors are in its words.
    pub(crate) protocol: ServerProtocol,
    /// What was seen of his request, if it is JSON-RPC.
    pub(crate) glance: Glance,
    /// What he is told to name his MCP session by, once there is one.
    pub(crate) mcp_session: Option<HeaderValue>,
    /// Whether he was told that there is no such session because it is another's.
    pub(crate) is_stranger: bool,
    /// Whether the rate of requests had him already.
    pub(crate) is_counted: bool,
    /// What he was let in to.
    pub(crate) entered: Option<Arc<Resolved>>,
    /// When his token was found good for what he asks for.
    pub(crate) proven_at: Option<UnixMillis>,
    /// What he said and nobody heard, because a presigned URL does not sign it.
    pub(crate) unheard: Vec<HeaderName>,
    /// How far the invocation is that the answer is about, where he did not wait for it.
    pub(crate) invocation: Option<InvocationState>,
    /// What the audit log is told if he goes away before there is an answer.
    pub(crate) unanswered: Telling,
}

/// Who a caller has proven to be.
#[derive(Debug, Clone)]
pub(crate) enum Principal {
    /// Whoever holds this key.
    Key(Arc<Signer>),
    /// Whoever a token speaks for.
    Token(Identity),
    /// Whoever has the operator's token.
    OperatorToken,
}

impl Caller {
    /// Returns a caller of whom nothing is known.
    pub(crate) fn new(request_id: RequestId) -> Self {
        Self {
            request_id,
            session: None,
            principal: None,
            challenge: None,
            protocol: ServerProtocol::Http,
            glance: Glance::default(),
            mcp_session: None,
            is_stranger: false,
            is_counted: false,
            entered: None,
            proven_at: None,
            unheard: Vec::new(),
            invocation: None,
            unanswered: Telling::default(),
        }
    }

    /// Tells whether it is somebody with operator rights.
    pub(crate) fn is_operator(&self) -> bool {
        match &self.principal {
            Some(Principal::Key(key)) => key.principal.operator,
            Some(Principal::OperatorToken) => true,
            Some(Principal::Token(_)) | None => false,
        }
    }

    /// Says what the answer is about: an invocation in this session, and how far it is.
    pub(crate) fn about(&mut self, session: SessionId, state: InvocationState) {
        (self.session, self.invocation) = (Some(session), Some(state));
    }

    /// Adds request id and session to an answer's headers.
    pub(crate) fn identify(&self, headers: &mut HeaderMap) {
        headers.insert(headers::AMZN_REQUEST_ID, header_value(self.request_id.as_str()));
        if let Some(session) = &self.session {
            headers.insert(headers::SESSION_ID, header_value(session.as_str()));
        }
        if let Some(session) = &self.mcp_session {
            headers.insert(headers::MCP_SESSION_ID, session.clone());
        }
        if let Some(state) = self.invocation {
            headers.insert(headers::INVOCATION_STATE, HeaderValue::from_static(state.as_str()));
        }
    }
}

/// Whoever goes away has been heard all the same.
impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(unanswered) = self.unanswered.0.take() {
            unanswered.tell(self);
        }
    }
}

/// For the log: which key, or which client of which issuer. Never whose token it is.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.principal {
            Some(Principal::Key(key)) => write!(f, "key {}", key.key_id),
            Some(Principal::Token(identity)) => {
                let client = identity.client.as_deref().unwrap_or("without id");
                write!(f, "client {client} of {}", identity.asked_at())
            }
            Some(Principal::OperatorToken) => f.write_str("the operator's token"),
            None => f.write_str("a caller unknown"),
        }
    }
}

/// Returns an id, or words of ours, as a header's value.
pub(crate) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("ids and our words are visible ASCII")
}

/// Header, its member in the API, least and most bytes. Source: service model, `InvokeAgentRuntime`.
static LENGTHS: [(HeaderName, &str, usize, usize); 11] = [
    (CONTENT_TYPE, "contentType", 1, 256),
    (ACCEPT, "accept", 1, 256),
    (headers::MCP_SESSION_ID, "mcpSessionId", 1, 1024),
    (headers::MCP_PROTOCOL_VERSION, "mcpProtocolVersion", 1, 1024),
    (headers::MCP_METHOD, "mcpMethod", 1, 1024),
    (headers::MCP_NAME, "mcpName", 1, 1024),
    (headers::USER_ID, "runtimeUserId", 1, 1024),
    (headers::AMZN_TRACE_ID, "traceId", 0, 128),
    (headers::TRACEPARENT, "traceParent", 0, 128),
    (headers::TRACESTATE, "traceState", 0, 512),
    (headers::BAGGAGE, "baggage", 0, 8192),
];

/// Checks the length of every header that the API bounds.
pub(crate) fn check_headers(head: &request::Parts) -> Result<(), Error> {
    for (header, member, min, max) in &LENGTHS {
        for value in head.headers.get_all(header) {
            check_length(member, value.len(), *min, *max)?;
        }
    }
    Ok(())
}

/// Checks the length of every header of InvokeAgentRuntimeCommand that the API bounds. Source: service model.
pub(crate) fn check_command_headers(head: &request::Parts) -> Result<(), Error> {
    const MAX_TRACE: usize = 1024;
    for (header, member, min, max) in &LENGTHS {
        let max = if [headers::AMZN_TRACE_ID, headers::TRACEPARENT].contains(header) { MAX_TRACE } else { *max };
        for value in head.headers.get_all(header) {
            check_length(member, value.len(), *min, max)?;
        }
    }
    Ok(())
}

/// Returns the session that the caller names, if any.
pub(crate) fn session(head: &request::Parts) -> Result<Option<SessionId>, Error> {
    session_in(head, &headers::SESSION_ID, "runtimeSessionId")
}

/// Returns the session that a header names, whose member in the API is `member`.
pub(crate) fn session_in(
    head: &request::Parts,
    header: &HeaderName,
    member: &'static str,
) -> Result<Option<SessionId>, Error> {
    let mut values = head.headers.get_all(header).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Error::field(member, "Member must be given once".to_owned()));
    }
    check_length(member, value.len(), 33, 256)?;
    let invalid = |_| Error::field(member, "Member must satisfy regular expression pattern: [\\x21-\\x7E]+".to_owned());
    let session = value.to_str().map_err(|_| ()).and_then(|s| SessionId::parse(s).map_err(|_| ())).map_err(invalid)?;
    Ok(Some(session))
}

/// Returns the session that the caller must name.
pub(crate) fn required_session(head: &request::Parts) -> Result<SessionId, Error> {
    session(head)?.ok_or_else(|| Error::field("runtimeSessionId", "Member must not be null".to_owned()))
}

fn check_length(member: &'static str, len: usize, min: usize, max: usize) -> Result<(), Error> {
    let bound = if len < min {
        format!("Member must have length greater than or equal to {min}")
    } else if len > max {
        format!("Member must have length less than or equal to {max}")
    } else {
        return Ok(());
    };
    Err(Error::field(member, bound))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(name: HeaderName, value: &str) -> request::Parts {
        Request::builder().header(name, value).body(()).unwrap().into_parts().0
    }

    #[test]
    fn every_bounded_header_is_measured() {
        for (header, member, min, max) in &LENGTHS {
            assert!(check_headers(&head(header.clone(), &"x".repeat(*max))).is_ok(), "{member}");
            let error = check_headers(&head(header.clone(), &"x".repeat(max + 1))).unwrap_err();
            let expect = format!(
                "Value at '{member}' failed to satisfy constraint: Member must have length less than or equal to {max}"
            );
            assert_eq!(error.to_string(), expect);
            assert_eq!(check_headers(&head(header.clone(), "")).is_err(), *min > 0, "{member}");
        }
    }

    fn check_session(value: &str, expect: Result<(), &str>) {
        let found = session(&head(headers::SESSION_ID, value));
        match expect {
            Ok(()) => assert_eq!(found.unwrap().unwrap().as_str(), value),
            Err(expect) => assert_eq!(
                found.unwrap_err().to_string(),
                format!("Value at 'runtimeSessionId' failed to satisfy constraint: {expect}")
            ),
        }
    }

    #[test]
    fn session_ids_are_33_to_256_visible_characters() {
        check_session(&"a".repeat(33), Ok(()));
        check_session(&"~".repeat(256), Ok(()));
        check_session("short", Err("Member must have length greater than or equal to 33"));
        check_session(&"a".repeat(257), Err("Member must have length less than or equal to 256"));
        check_session(&"a b".repeat(20), Err("Member must satisfy regular expression pattern: [\\x21-\\x7E]+"));
        check_session(&"ä".repeat(20), Err("Member must satisfy regular expression pattern: [\\x21-\\x7E]+"));
    }

    #[test]
    fn a_session_named_twice_is_refused() {
        let mut twice = head(headers::SESSION_ID, &"a".repeat(33));
        twice.headers.append(headers::SESSION_ID, HeaderValue::from_static("b"));
        assert!(session(&twice).is_err());
        assert!(session(&head(ACCEPT, "*/*")).unwrap().is_none());
        assert!(required_session(&head(ACCEPT, "*/*")).is_err());
    }
}
