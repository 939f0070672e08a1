//! Header names of the data plane and of the container contract, lower-case as `http` wants them.
//! Source: service model (caller); AgentCore developer guide and SDK source (agent).

use http::HeaderName;

/// The session: from the caller, to the agent, and back.
pub const SESSION_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-session-id");
/// A terminal of a session, in the answer to who connects to it.
pub const SHELL_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-shell-id");
/// The user on whose behalf a SigV4 caller acts; never forwarded.
pub const USER_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-user-id");
/// How the names of headers begin that a version may let through though they begin with `x-amzn-`.
pub const CUSTOM_PREFIX: &str = "x-amzn-bedrock-agentcore-runtime-custom-";
/// One request, as the agent sees it.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-bedrock-agentcore-runtime-request-id");
/// One request, as the caller sees it.
pub const AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The name of an error's exception.
pub const AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// X-Ray trace header.
pub const AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
/// W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// W3C trace context.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// W3C baggage.
pub const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
/// MCP's session.
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// MCP's revision.
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// MCP's method (revision 2026-07-28).
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// MCP's name (revision 2026-07-28).
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// A2A's revision.
pub const A2A_VERSION: HeaderName = HeaderName::from_static("a2a-version");
/// A2A's extensions.
pub const A2A_EXTENSIONS: HeaderName = HeaderName::from_static("a2a-extensions");
/// Alias of [`SESSION_ID`] towards the agent.
pub const ALIAS_SESSION_ID: HeaderName = HeaderName::from_static("x-session-id");
/// Alias of [`REQUEST_ID`] towards the agent.
pub const ALIAS_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Alias of [`WORKLOAD_ACCESS_TOKEN`] towards the agent.
pub const ALIAS_ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-access-token");
/// The token of the workload, and of the user on whose behalf it acts; to the agent.
pub const WORKLOAD_ACCESS_TOKEN: HeaderName = HeaderName::from_static("workloadaccesstoken");
/// The same under its newer name; also from an agent that calls another.
pub const IDENTITY_WAT: HeaderName = HeaderName::from_static("x-amz-bedrock-agentcore-identity-wat");
/// Where a user is sent after consent; to the agent.
pub const OAUTH2_CALLBACK_URL: HeaderName = HeaderName::from_static("oauth2callbackurl");
/// Ours: who is to blame for an error: `caller`, `agent` or `innkeep`.
pub const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-innkeep-error-source");
/// Ours, on a data-plane response: `cold` when this request waited for the session's start, else `warm`.
pub const START: HeaderName = HeaderName::from_static("x-innkeep-start");
/// On a data-plane response to a request that waited for the session's start: where that time went, see [`crate::server_timing`].
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// Ours, on a data-plane response: the runtime version that answered.
pub const VERSION: HeaderName = HeaderName::from_static("x-innkeep-version");
/// Ours, on an answer about an invocation whose caller does not wait: `running`, `done`, `failed` or `cancelled`.
pub const INVOCATION_STATE: HeaderName = HeaderName::from_static("x-innkeep-invocation-state");
/// Ours, on Create and Update: the version's settings as one JSON object.
pub const SETTINGS: HeaderName = HeaderName::from_static("x-innkeep-settings");
