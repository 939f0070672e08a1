//! Invocations whose caller does not wait: made with `Prefer: respond-async`, found again by their ids.

use std::time::Duration;

use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use innkeep_protocol::headers;
use innkeep_protocol::operator::invocations::{InvocationList, PendingInvocation};
use innkeep_types::{InvocationId, InvocationState, RuntimeId};

use crate::client::{Call, Client, with_query};
use crate::connection::ResponseBody;
use crate::error::Error;
use crate::invoke::{Answer, Invocation};

/// The most that is read of a `202 Accepted`, bytes.
const MAX_PENDING_BYTES: usize = 64 << 10;

/// What there is of an invocation.
#[derive(Debug)]
pub enum Found {
    /// It is running.
    Pending(PendingInvocation),
    /// The agent's answer.
    Answer(Answer),
}

impl Client {
    /// Invokes an agent without waiting for its answer. A server that cannot tell the caller from others waits all the same.
    ///
    /// # Errors
    /// As [`Client::invoke`]; what befalls the agent afterwards is for [`Client::invocation`].
    pub async fn invoke_async(&self, mut invocation: Invocation) -> Result<Found, Error> {
        let respond_async = HeaderValue::from_static("respond-async");
        invocation.headers.append(HeaderName::from_static("prefer"), respond_async);
        let timeout = invocation.timeout;
        found(self.send(self.invocation_call(invocation)?).await?, timeout).await
    }

    /// Returns an answer, or how far it is; with `follow`, the answer as the agent produces it, once it begins. `extra` are further
    /// headers: with `Authorization`, a token's, nothing is signed.
    ///
    /// # Errors
    /// [`Error::Service`] as the invocation itself would have had it, if it failed; with 404 if it is unknown, too old or another's.
    pub async fn invocation(
        &self,
        id: &InvocationId,
        follow: bool,
        extra: HeaderMap,
        timeout: Duration,
    ) -> Result<Found, Error> {
        let mut call = Call::new(Method::GET, target(id));
        call.headers = extra;
        if follow {
            call.headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        }
        call.timeout = timeout;
        found(self.send(call).await?, timeout).await
    }

    /// Cancels an invocation that runs; forgets one that has ended. Returns which it was.
    pub async fn cancel_invocation(
        &self,
        id: &InvocationId,
        extra: HeaderMap,
    ) -> Result<Option<InvocationState>, Error> {
        let mut call = Call::new(Method::DELETE, target(id));
        call.headers = extra;
        Ok(state(self.send(call).await?.headers()))
    }

    /// Lists invocations whose callers do not wait, newest first. For operators.
    pub async fn invocations(
        &self,
        runtime: Option<&RuntimeId>,
        in_state: Option<InvocationState>,
    ) -> Result<InvocationList, Error> {
        let asked = [("runtime", runtime.map(RuntimeId::as_str)), ("state", in_state.map(InvocationState::as_str))];
        self.json(Call::new(Method::GET, with_query("/innkeep/v1/invocations", &asked))).await
    }
}

async fn found(response: Response<ResponseBody>, timeout: Duration) -> Result<Found, Error> {
    let (head, mut body) = response.into_parts();
    if state(&head.headers) != Some(InvocationState::Running) || head.status != http::StatusCode::ACCEPTED {
        return Ok(Found::Answer(Answer { status: head.status, headers: head.headers, body }));
    }
    let late = |_| Error::Timeout { waited: timeout };
    // An agent may answer 202 too: then what comes is what it says.
    let whole = tokio::time::timeout(timeout, body.collect(MAX_PENDING_BYTES)).await.map_err(late)??;
    serde_json::from_slice(&whole).map(Found::Pending).map_err(Error::Decode)
}

fn state(headers: &HeaderMap) -> Option<InvocationState> {
    let word = headers.get(headers::INVOCATION_STATE)?.to_str().ok()?;
    InvocationState::ALL.into_iter().find(|state| state.as_str() == word)
}

fn target(id: &InvocationId) -> String {
    format!("/innkeep/v1/invocations/{id}")
}
