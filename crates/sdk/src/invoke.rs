//! The data plane: InvokeAgentRuntime and StopRuntimeSession.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use innkeep_protocol::headers;
use innkeep_protocol::server_timing::StartTiming;
use innkeep_types::{EndpointName, RuntimeArn, RuntimeId, RuntimeVersion, SessionId};

use crate::body::Payload;
use crate::client::{Call, Client, encode, with_query};
use crate::connection::ResponseBody;
use crate::error::Error;

/// One InvokeAgentRuntime.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Which runtime.
    pub runtime: RuntimeId,
    /// Which endpoint, the *qualifier*.
    pub endpoint: EndpointName,
    /// Which session; started if it has no sandbox.
    pub session: SessionId,
    /// `Content-Type` of the payload.
    pub content_type: HeaderValue,
    /// Further headers; they win over what this module sets, but for the session. With `Authorization`, a token's, nothing is signed.
    pub headers: HeaderMap,
    /// What the agent receives.
    pub payload: Bytes,
    /// To the head of the answer.
    pub timeout: Duration,
}

/// What came back: a 2xx status of the agent. The body follows as the agent produces it.
#[derive(Debug)]
pub struct Answer {
    /// The agent's status.
    pub status: StatusCode,
    /// The response's headers.
    pub headers: HeaderMap,
    /// The response's body.
    pub body: ResponseBody,
}

impl Client {
    /// Invokes an agent.
    ///
    /// # Errors
    /// [`Error::Service`] with status 424 if the agent failed or answered a status of 400 and more.
    pub async fn invoke(&self, invocation: Invocation) -> Result<Answer, Error> {
        let (parts, body) = self.send(self.invocation_call(invocation)?).await?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    pub(crate) fn invocation_call(&self, invocation: Invocation) -> Result<Call, Error> {
        let Invocation { runtime, endpoint, session, content_type, headers: extra, payload, timeout } = invocation;
        let mut call = Call::new(Method::POST, self.session_target(&runtime, &endpoint, "invocations"));
        call.headers.insert(CONTENT_TYPE, content_type);
        call.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        for name in extra.keys() {
            call.headers.remove(name);
        }
        call.headers.extend(extra);
        call.headers.insert(headers::SESSION_ID, session_value(&session)?);
        call.payload = Payload::Bytes(payload);
        call.timeout = timeout;
        Ok(call)
    }

    /// Ends a session's sandbox; its id stays usable.
    pub async fn stop_session(
        &self,
        runtime: &RuntimeId,
        endpoint: &EndpointName,
        session: &SessionId,
    ) -> Result<(), Error> {
        let mut call = Call::new(Method::POST, self.session_target(runtime, endpoint, "stopruntimesession"));
        call.headers.insert(headers::SESSION_ID, session_value(session)?);
        self.send(call).await.map(drop)
    }

    /// Returns the ARN under which this server serves `runtime`.
    pub fn runtime_arn(&self, runtime: &RuntimeId) -> RuntimeArn {
        RuntimeArn::new(self.endpoint().region.clone(), self.endpoint().account.clone(), runtime.clone())
    }

    pub(crate) fn session_target(&self, runtime: &RuntimeId, endpoint: &EndpointName, operation: &str) -> String {
        let arn = encode(&self.runtime_arn(runtime).to_string());
        with_query(&format!("/runtimes/{arn}/{operation}"), &[("qualifier", Some(endpoint.as_str()))])
    }
}

impl Answer {
    /// Returns the session that answered.
    pub fn session(&self) -> Option<SessionId> {
        self.text(&headers::SESSION_ID).and_then(|id| SessionId::parse(id).ok())
    }

    /// Returns the version that answered.
    pub fn version(&self) -> Option<RuntimeVersion> {
        self.text(&headers::VERSION).and_then(|version| RuntimeVersion::parse(version).ok())
    }

    /// Tells whether the request waited for the session's start; `None` if the server does not say.
    pub fn is_cold(&self) -> Option<bool> {
        self.text(&headers::START).map(|start| start == "cold")
    }

    /// Returns where the time of the session's start went; `None` if the request did not wait for one.
    pub fn start(&self) -> Option<StartTiming> {
        // A proxy may have added its own before ours.
        let mut values = self.headers.get_all(headers::SERVER_TIMING).iter().filter_map(|value| value.to_str().ok());
        values.find_map(StartTiming::parse)
    }

    /// Returns the media type of the body, without parameters.
    pub fn media_type(&self) -> &str {
        self.text(&CONTENT_TYPE).and_then(|value| value.split(';').next()).unwrap_or_default().trim()
    }

    fn text(&self, name: &http::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(crate) fn session_value(session: &SessionId) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(session.as_str()).map_err(|error| Error::Request(error.into()))
}
