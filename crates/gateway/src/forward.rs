//! The request as the agent gets it. Its headers are made from a list of what may pass, never by copying and striking out:
//! what a client may not say of itself (session, request, token, caller) cannot slip through. Source: developer guide.

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use http_body_util::{BodyExt, Empty};
use innkeep_protocol::headers;
use innkeep_sandbox::Deployment;
use innkeep_sandbox::upstream::AgentRequestBody;
use innkeep_types::{Authorizer, Protocol, RequestId, ServerProtocol, SessionId, limits};
use uuid::Uuid;
use uuid::fmt::Simple;

use crate::call::header_value;
use crate::error::Error;

/// What passes as the caller sent it. Absent ones stay absent: nothing is made up, and agents parse JSON whatever the type.
// Names that are looked through are statics: of a constant every use makes a copy, and drops each name of it.
static PASSED: [HeaderName; 10] = [
    CONTENT_TYPE,
    ACCEPT,
    headers::MCP_SESSION_ID,
    headers::MCP_PROTOCOL_VERSION,
    headers::MCP_METHOD,
    headers::MCP_NAME,
    headers::TRACEPARENT,
    headers::TRACESTATE,
    headers::BAGGAGE,
    headers::AMZN_TRACE_ID,
];

/// What passes besides where A2A is spoken: which revision the caller speaks, without which newer agents take it for an old one. Source:
/// A2A specification 1.0, "Versioning", "Extensions".
static PASSED_OF_A2A: [HeaderName; 2] = [headers::A2A_VERSION, headers::A2A_EXTENSIONS];

/// Where agents take WebSockets. Source: AgentCore developer guide, HTTP and AG-UI protocol contracts.
const WEBSOCKET_PATH: &str = "/ws";

/// Where A2A agents have their card, whatever the path of their invocations is. Source: A2A specification, "Well-Known URI".
const CARD_PATH: &str = "/.well-known/agent-card.json";

/// What no allow-list lets through: what the agent is told of session, request and caller is told by us alone.
static OURS: [HeaderName; 9] = [
    headers::SESSION_ID,
    headers::REQUEST_ID,
    headers::USER_ID,
    headers::ALIAS_SESSION_ID,
    headers::ALIAS_REQUEST_ID,
    headers::ALIAS_ACCESS_TOKEN,
    headers::WORKLOAD_ACCESS_TOKEN,
    headers::IDENTITY_WAT,
    headers::OAUTH2_CALLBACK_URL,
];

/// What is between the caller and us, or told to the agent in our own words: not missed by anybody.
static BETWEEN_US: [HeaderName; 11] = [
    HOST,
    CONTENT_LENGTH,
    CONNECTION,
    EXPECT,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    headers::SESSION_ID,
];

/// Who asks, as the agent is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) session: &'a SessionId,
    pub(crate) request_id: &'a RequestId,
}

/// Checks the length of every header that an allow-list lets through.
pub(crate) fn check_allowed(deployment: &Deployment, caller: &HeaderMap) -> Result<(), Error> {
    let is_long = |name: &&HeaderName| caller.get_all(*name).iter().any(|v| v.len() > limits::MAX_ALLOWED_HEADER_BYTES);
    match allowed(deployment).find(is_long) {
        Some(name) => Err(Error::HeaderTooLong(name.clone())),
        None => Ok(()),
    }
}

/// Returns what passes because the version lists it. What a caller signed with is for us alone; a token may be for the agent too.
fn allowed(deployment: &Deployment) -> impl Iterator<Item = &HeaderName> {
    let takes_tokens = deployment.authorizer == Authorizer::CustomJwt;
    let may_be = move |name: &&HeaderName| {
        !OURS.contains(*name) && !PASSED.contains(*name) && (takes_tokens || **name != AUTHORIZATION)
    };
    deployment.request_headers.iter().filter(may_be)
}

/// Returns what passes because of what the agent speaks.
fn of_protocol(deployment: &Deployment) -> &'static [HeaderName] {
    if deployment.protocol.server == ServerProtocol::A2a { &PASSED_OF_A2A } else { &[] }
}

/// Returns the names of what the caller says and the agent of `deployment` is not told.
pub(crate) fn dropped<'a>(deployment: &Deployment, caller: &'a HeaderMap) -> impl Iterator<Item = &'a HeaderName> {
    let of_protocol = of_protocol(deployment);
    let is_told = move |name: &HeaderName| {
        PASSED.contains(name) || of_protocol.contains(name) || allowed(deployment).any(|allowed| allowed == name)
    };
    caller.keys().filter(move |name| !BETWEEN_US.contains(name) && !is_told(name))
}

/// Returns the request for the agent of `deployment`, whose body is of `body_bytes`.
pub(crate) fn request(
    deployment: &Deployment,
    context: Context<'_>,
    caller: &HeaderMap,
    body_bytes: u64,
    body: AgentRequestBody,
) -> Request<AgentRequestBody> {
    let mut headers = headers(deployment, context, caller);
    // Always, also for an empty body: agents on plain HTTP libraries read as many bytes as this says, or fail without it.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(body_bytes));
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = path(&deployment.protocol);
    *request.headers_mut() = headers;
    request
}

/// Returns the head of a request to upgrade, but for what makes it one.
pub(crate) fn handshake(
    deployment: &Deployment,
    context: Context<'_>,
    caller: &HeaderMap,
) -> Request<AgentRequestBody> {
    let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from_static(WEBSOCKET_PATH);
    *request.headers_mut() = headers(deployment, context, caller);
    request
}

/// Returns the request for the agent's card, whose `body` is none.
pub(crate) fn card(
    deployment: &Deployment,
    context: Context<'_>,
    caller: &HeaderMap,
    body: AgentRequestBody,
) -> Request<AgentRequestBody> {
    let mut request = Request::new(body);
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = Uri::from_static(CARD_PATH);
    *request.headers_mut() = headers(deployment, context, caller);
    request
}

fn headers(deployment: &Deployment, context: Context<'_>, caller: &HeaderMap) -> HeaderMap {
    let aliases = deployment.settings.header_aliases.unwrap_or(true);
    let mut headers = agent_headers(deployment.protocol.port, aliases, context, caller);
    let of_protocol = of_protocol(deployment);
    for name in of_protocol.iter().chain(allowed(deployment).filter(|name| !of_protocol.contains(name))) {
        for value in caller.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    headers
}

fn path(Protocol { server, path, .. }: &Protocol) -> Uri {
    Uri::from(PathAndQuery::try_from(path).unwrap_or_else(|_| PathAndQuery::from_static(server.path())))
}

fn agent_headers(port: u16, aliases: bool, context: Context<'_>, caller: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(HOST, header_value(&format!("localhost:{port}")));
    for name in &PASSED {
        for value in caller.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if !headers.contains_key(headers::TRACEPARENT) {
        headers.insert(headers::TRACEPARENT, fresh_traceparent(context.request_id));
    }
    let session = header_value(context.session.as_str());
    let request_id = header_value(context.request_id.as_str());
    if aliases {
        headers.insert(headers::ALIAS_SESSION_ID, session.clone());
        headers.insert(headers::ALIAS_REQUEST_ID, request_id.clone());
    }
    headers.insert(headers::SESSION_ID, session);
    headers.insert(headers::REQUEST_ID, request_id);
    headers
}

/// Returns the start of a trace: version 00, sampled; its ids are the request's own, so that whoever has one finds the other.
/// Source: W3C Trace Context, section 3.2.
fn fresh_traceparent(request_id: &RequestId) -> HeaderValue {
    let id = Uuid::try_parse(request_id.as_str()).unwrap_or_else(|_| Uuid::new_v4());
    let mut digits = [0; Simple::LENGTH];
    let trace = id.as_simple().encode_lower(&mut digits);
    header_value(&format!("00-{trace}-{}-01", &trace[16..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "a-session-of-thirty-six-characters-1";

    fn forwarded(aliases: bool, caller: &[(&'static str, &'static str)]) -> Vec<String> {
        let caller: HeaderMap = caller
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let (session, request_id) = (SessionId::parse(SESSION).unwrap(), RequestId::parse("r-1").unwrap());
        let context = Context { session: &session, request_id: &request_id };
        let headers = agent_headers(8080, aliases, context, &caller);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn the_agent_learns_session_request_and_trace_and_what_may_pass() {
        let caller = [
            ("accept", "text/event-stream"),
            ("baggage", "session.id=1"),
            ("content-type", "application/json"),
            ("mcp-method", "tools/call"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ];
        let expect = [
            "accept: text/event-stream",
            "baggage: session.id=1",
            "content-type: application/json",
            "host: localhost:8080",
            "mcp-method: tools/call",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-amzn-bedrock-agentcore-runtime-request-id: r-1",
            "x-amzn-bedrock-agentcore-runtime-session-id: a-session-of-thirty-six-characters-1",
            "x-request-id: r-1",
            "x-session-id: a-session-of-thirty-six-characters-1",
        ];
        assert_eq!(forwarded(true, &caller), expect);
        let without_aliases: Vec<_> =
            expect.into_iter().filter(|line| !line.starts_with("x-") || line.contains("amzn")).collect();
        assert_eq!(forwarded(false, &caller), without_aliases);
    }

    #[test]
    fn a_callers_own_copies_of_context_headers_are_dropped() {
        let trace = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let forged = [
            trace,
            ("x-amzn-bedrock-agentcore-runtime-session-id", "forged"),
            ("x-amzn-bedrock-agentcore-runtime-request-id", "forged"),
            ("x-amzn-bedrock-agentcore-runtime-user-id", "forged"),
            ("x-amz-bedrock-agentcore-identity-wat", "forged"),
            ("x-amz-security-token", "forged"),
            ("x-session-id", "forged"),
            ("x-request-id", "forged"),
            ("x-access-token", "forged"),
            ("workloadaccesstoken", "forged"),
            ("oauth2callbackurl", "forged"),
            ("authorization", "forged"),
            ("cookie", "forged"),
            ("host", "forged"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("x-anything", "forged"),
        ];
        assert_eq!(forwarded(true, &forged), forwarded(true, &[trace]));
    }

    #[test]
    fn a_trace_is_begun_where_the_caller_has_none() {
        let traceparent = |id: &str| {
            let value = fresh_traceparent(&RequestId::parse(id).unwrap());
            value.to_str().unwrap().to_owned()
        };
        let of_uuid = traceparent("0af76519-16cd-43dd-8448-eb211c80319c");
        assert_eq!(of_uuid, "00-0af7651916cd43dd8448eb211c80319c-8448eb211c80319c-01");
        assert_eq!(traceparent("r-1").len(), of_uuid.len());
        assert!(forwarded(false, &[]).iter().any(|line| line.starts_with("traceparent: 00-")));
    }
}
