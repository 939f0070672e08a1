//! Why a request of the data plane was refused or failed, and what the caller is told. The only file here that knows statuses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use innkeep_auth::jwt;
use innkeep_auth::policy::Denial;
use innkeep_protocol::error_envelope::envelope;
use innkeep_protocol::error_shape::{ErrorBody, ValidationField, ValidationReason, shape};
use innkeep_protocol::headers;
use innkeep_sandbox::{Ended, exec, upstream};
use innkeep_types::{EndpointName, ErrorKind, InvocationFailure, RuntimeStatus, RuntimeVersion, StopReason, limits};

use crate::call::Caller;
use crate::invocations::Full;
use crate::issuers;
use crate::shells;
use crate::stream::{GatewayBody, StreamError};

/// After how many seconds a caller may try again who has too much that he does not wait for. Source: our choice.
const ASYNC_RETRY_SECS: u64 = 10;

/// A failure inside the server, of whatever part.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request was not answered by the agent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A part of the request breaks a rule; `field` is the member's name in the API.
    #[error("Value at '{field}' failed to satisfy constraint: {message}")]
    Invalid { field: &'static str, message: String },
    #[error("request body of more than {0} bytes")]
    BodyTooLarge(u64),
    #[error("request body ended early")]
    BodyBroken(#[source] BoxError),
    #[error("no byte of the request body arrived for {0:?}")]
    BodyStalled(Duration),
    #[error("the request body did not arrive within {0:?}")]
    BodyTooSlow(Duration),
    #[error(transparent)]
    Signature(#[from] innkeep_auth::sigv4::Error),
    /// Source: field reports of the service.
    #[error(
        "Authorization method mismatch. The agent is configured for a different authorization method than what was used in your \
         request. Check the agent's authorization configuration and ensure your request uses the matching method (OAuth or SigV4)"
    )]
    WrongAuthorizer,
    #[error(
        "A bearer token is required: send one of the issuer that resource_metadata names, in the Authorization header"
    )]
    NoToken,
    #[error(transparent)]
    Token(jwt::Error),
    /// Its cause is for the log alone: it would tell deployers what this server reaches.
    #[error(
        "OAuth authorization failed: the issuer of this agent's tokens cannot be reached, and without its keys no token can be \
         verified. Try again later"
    )]
    Issuer(#[source] Arc<issuers::Error>),
    /// Nor this one: it would tell anybody what the owner wrote.
    #[error(
        "OAuth authorization failed: the agent's authorizer cannot be acted on, so that nobody is let in. Its owner must update it"
    )]
    ClosedAuthorizer(#[source] jwt::Error),
    /// Boxed: it is rare, and large.
    #[error("{0}")]
    Denied(Box<Denial>),
    /// A header that the version's allow-list names.
    #[error("Value at '{0}' failed to satisfy constraint: {rule}", rule = header_length())]
    HeaderTooLong(HeaderName),
    /// `unmade`: why there is nothing to serve, where the runtime is there; for operators.
    #[error("No endpoint or agent found with qualifier '{qualifier}' for agent '{agent}'")]
    NoAgent { qualifier: EndpointName, agent: String, unmade: Option<Box<Unmade>> },
    #[error("Rate exceeded: the server lets no more requests in at present; try again in {0} s")]
    TooManyRequests(u64),
    #[error("The page's origin may not open WebSockets here: the server's setting cors_origins does not list it")]
    ForeignOrigin,
    #[error(transparent)]
    Session(#[from] innkeep_sandbox::Error),
    /// A command that could not be started.
    #[error("{}", exec_message(.0))]
    Exec(#[from] exec::Error),
    #[error("Received error ({0}) from runtime. Please check your CloudWatch logs for more information")]
    AgentStatus(StatusCode),
    /// Of MCP: what a client must accept. Source: AgentCore developer guide, MCP protocol contract.
    #[error("the Accept header must list application/json and text/event-stream: MCP servers answer with either")]
    NotAcceptable,
    /// Of MCP: what the client names is not known in the session's sandbox.
    #[error(
        "the MCP session that Mcp-Session-Id names is over: it ended with its sandbox, or the server ended it, or Innkeep was \
         restarted. Initialize again, without Mcp-Session-Id"
    )]
    McpSessionGone,
    #[error("The agent agreed to another WebSocket than the one it was asked for")]
    AgentHandshake,
    /// The agent gave no answer; `ended` says more if its sandbox has ended, or is being ended, too.
    #[error("{}", gone_message(.ended.as_deref()))]
    AgentGone {
        ended: Option<Box<Ended>>,
        #[source]
        source: Option<upstream::Error>,
    },
    #[error("The agent's answer is larger than {0} bytes")]
    AnswerTooLarge(u64),
    #[error("The agent did not answer within {0:?}")]
    AgentTimeout(Duration),
    #[error(transparent)]
    Shell(#[from] shells::Error),
    #[error("too many large requests at once, please retry")]
    SpoolFull,
    #[error("could not keep the request's body")]
    Spool(#[source] std::io::Error),
    /// Told to whoever asks for it and to whoever it is not for: equal words.
    #[error("No invocation '{0}' was found: it is too old, was never made, or is another caller's")]
    NoInvocation(String),
    /// Why one failed whose caller did not wait; it was logged then.
    #[error("{}", .0.as_deref().map_or("The invocation failed", |failure| &failure.message))]
    Invocation(Option<Arc<InvocationFailure>>),
    #[error("The invocation was cancelled")]
    Cancelled,
    #[error("the invocation is still being cancelled, please ask again")]
    NotCancelled,
    #[error("{}", full_message(*.0))]
    AsyncFull(Full),
    /// An answer that nobody waited for broke off.
    #[error("The agent's answer broke off: {0}")]
    Broken(#[source] StreamError),
    #[error("could not keep the agent's answer")]
    Invocations(#[source] std::io::Error),
    #[error("could not look up the agent")]
    Resolve(#[source] BoxError),
}

/// A runtime's newest version, which never became READY.
#[derive(Debug)]
pub(crate) struct Unmade {
    pub(crate) version: RuntimeVersion,
    pub(crate) status: RuntimeStatus,
    pub(crate) reason: Option<String>,
    pub(crate) log_tail: Vec<String>,
}

impl Error {
    /// Returns the refusal of one member of the request.
    pub(crate) fn field(field: &'static str, message: String) -> Self {
        Self::Invalid { field, message }
    }

    /// Returns whose fault it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. }
            | Self::HeaderTooLong(_)
            | Self::BodyTooLarge(_)
            | Self::BodyBroken(_)
            | Self::BodyStalled(_)
            | Self::BodyTooSlow(_) => ErrorKind::Validation,
            Self::Signature(source) => source.kind(),
            Self::NoToken => ErrorKind::Unauthorized,
            Self::Token(source) => source.kind(),
            Self::WrongAuthorizer
            | Self::Denied(_)
            | Self::Issuer(_)
            | Self::ClosedAuthorizer(_)
            | Self::ForeignOrigin => ErrorKind::AccessDenied,
            Self::TooManyRequests(_) => ErrorKind::Throttled,
            Self::NotAcceptable => ErrorKind::NotAcceptable,
            Self::NoAgent { .. } | Self::McpSessionGone | Self::NoInvocation(_) => ErrorKind::NotFound,
            Self::Invocation(failure) => failure.as_ref().map_or(ErrorKind::Internal, |failure| failure.kind),
            Self::Cancelled => ErrorKind::Conflict,
            Self::AsyncFull(_) => ErrorKind::Throttled,
            Self::Broken(StreamError::TooLong) => ErrorKind::AgentTimeout,
            Self::Broken(_) => ErrorKind::Agent,
            Self::Session(source) => source.kind(),
            Self::Exec(source) => source.kind(),
            Self::AgentGone { source: Some(upstream::Error::Dial(source)), ended: None } => source.kind(),
            Self::AgentStatus(_) | Self::AgentHandshake | Self::AgentGone { .. } | Self::AnswerTooLarge(_) => {
                ErrorKind::Agent
            }
            Self::Shell(source) => source.kind(),
            Self::AgentTimeout(_) => ErrorKind::AgentTimeout,
            Self::SpoolFull | Self::NotCancelled => ErrorKind::Unavailable,
            Self::Spool(_) | Self::Resolve(_) | Self::Invocations(_) => ErrorKind::Internal,
        }
    }

    /// Returns the answer that the caller gets, and logs the error: it stops travelling here. `connection_usable` tells whether
    /// another request may follow on the caller's connection.
    pub(crate) fn into_response(self, caller: &Caller, connection_usable: bool) -> Response<GatewayBody> {
        let kind = self.kind();
        self.log(kind, caller);
        let body = self.body(kind, caller.is_operator());
        let envelope = envelope(caller.protocol, kind, &caller.glance.id, &body);
        let exception = self.exception().unwrap_or_else(|| shape(kind).exception);
        let mut response = Response::new(GatewayBody::whole(Bytes::from(envelope.body)));
        *response.status_mut() = StatusCode::from_u16(envelope.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(envelope.content_type));
        headers.insert(headers::AMZN_ERROR_TYPE, HeaderValue::from_static(exception));
        headers.insert(headers::ERROR_SOURCE, HeaderValue::from_static(kind.blame().as_str()));
        if kind == ErrorKind::Unauthorized
            && let Some(challenge) = &caller.challenge
        {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if !connection_usable {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        caller.identify(headers);
        response
    }

    /// Returns what is kept of it for a caller who did not wait.
    pub(crate) fn to_failure(&self) -> InvocationFailure {
        let kind = self.kind();
        InvocationFailure { kind, message: self.message(kind, false), log_tail: self.log_tail() }
    }

    /// Returns the name that AWS has for this very error, where it is another than that of its kind.
    fn exception(&self) -> Option<&'static str> {
        match self {
            Self::Signature(source) => source.exception(),
            Self::NotAcceptable => Some("McpRequestUnacceptable"),
            _ => None,
        }
    }

    fn body(&self, kind: ErrorKind, operator: bool) -> ErrorBody {
        let mut body = ErrorBody { message: self.message(kind, operator), ..ErrorBody::default() };
        if kind == ErrorKind::Validation {
            body.reason = Some(ValidationReason::FieldValidationFailed);
            let (name, message) = match self {
                Self::Invalid { field, message } => (*field, message.clone()),
                Self::HeaderTooLong(name) => (name.as_str(), header_length()),
                _ => ("payload", body.message.clone()),
            };
            body.field_list = vec![ValidationField { name: name.to_owned(), message }];
        }
        if let Self::Shell(source) = self {
            body.error = source.word().map(str::to_owned);
        }
        if operator {
            body.log_tail = self.log_tail();
        }
        body
    }

    /// Our own failures are not explained to callers; the log has them, under the request id.
    fn message(&self, kind: ErrorKind, operator: bool) -> String {
        match (kind, self) {
            // Its message is for callers already.
            (_, Self::Invocation(Some(_))) => self.to_string(),
            (ErrorKind::Internal, _) => "The server encountered an internal error".to_owned(),
            (_, Self::NoAgent { unmade: Some(unmade), .. }) if operator => {
                let Unmade { version, status, reason, .. } = &**unmade;
                let reason = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                format!("{self}: its version {version} is {}{reason}", status.as_str())
            }
            _ => self.to_string(),
        }
    }

    /// Returns in how many seconds the caller may come again, if that is known.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Session(source) => source.retry_after(),
            Self::TooManyRequests(seconds) => Some(*seconds),
            Self::AsyncFull(_) => Some(ASYNC_RETRY_SECS),
            _ => None,
        }
    }

    fn log_tail(&self) -> Vec<String> {
        match self {
            Self::Session(innkeep_sandbox::Error::StartFailed { log_tail, .. }) => log_tail.clone(),
            Self::AgentGone { ended: Some(ended), .. } => ended.log_tail.clone(),
            Self::NoAgent { unmade: Some(unmade), .. } => unmade.log_tail.clone(),
            Self::Invocation(Some(failure)) => failure.log_tail.clone(),
            _ => Vec::new(),
        }
    }

    fn log(&self, kind: ErrorKind, caller: &Caller) {
        let chain = Chain(self);
        let request = &caller.request_id;
        match kind {
            // It was logged when it failed.
            _ if matches!(self, Self::Invocation(_)) => {}
            ErrorKind::Internal => {
                tracing::error!(request.id = %request, "request {request} of {caller} failed: {chain}")
            }
            ErrorKind::Unavailable => {
                tracing::warn!(request.id = %request, "request {request} of {caller} refused: {chain}")
            }
            _ => tracing::debug!(request.id = %request, "request {request} of {caller} refused: {chain}"),
        }
    }
}

fn header_length() -> String {
    format!("Member must have length less than or equal to {}", limits::MAX_ALLOWED_HEADER_BYTES)
}

fn exec_message(error: &exec::Error) -> String {
    match error {
        exec::Error::NoShell => {
            "The command needs a shell, and the agent's file system has neither bash nor sh: add one to the image"
                .to_owned()
        }
        error => format!("The command could not be started: {error}"),
    }
}

fn full_message(full: Full) -> &'static str {
    match full {
        Full::Running => {
            "too many invocations run whose callers do not wait, of all callers or of you; try again when some have ended, or wait for \
             the answer: without `Prefer: respond-async`"
        }
        Full::Kept => {
            "too many invocations are kept, of all callers or of you; remove some with DELETE, or wait until they are too old"
        }
        Full::Bytes => {
            "the answers that are kept leave no room for this one, of all callers or of you; remove some with DELETE, and invoke anew"
        }
    }
}

fn gone_message(ended: Option<&Ended>) -> String {
    let Some(Ended { reason, exit, .. }) = ended else {
        return "The agent closed the connection without an answer".to_owned();
    };
    match (reason, exit) {
        (StopReason::AgentExited { exit }, _) => format!("The agent exited with {exit} before it answered"),
        (StopReason::OutOfMemory, _) => "The agent ran out of memory before it answered".to_owned(),
        (StopReason::Unhealthy { detail }, _) => format!("The agent became unhealthy before it answered: {detail}"),
        (StopReason::StoppedByCaller, _) => "The session was stopped before the agent answered".to_owned(),
        (reason, _) => format!("The session ended before the agent answered: {}", reason.as_str()),
    }
}

/// An error with its causes, on one line.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
