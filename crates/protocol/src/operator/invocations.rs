//! Invocations whose callers do not wait, as operators see them.

use innkeep_types::{EndpointName, InvocationId, InvocationState, RuntimeId, SessionId};
use serde::{Deserialize, Serialize};

/// Answer to `GET /innkeep/v1/invocations[?runtime=…&state=…]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationList {
    /// Newest first, at most 1000.
    pub invocations: Vec<InvocationView>,
}

/// One invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvocationView {
    /// Its id.
    pub invocation_id: InvocationId,
    /// How far it is.
    pub state: InvocationState,
    /// Which runtime it is for.
    pub runtime_id: RuntimeId,
    /// Through which endpoint.
    pub endpoint: EndpointName,
    /// In which session.
    pub session_id: SessionId,
    /// When it was accepted.
    pub created_at: String,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// The status of the agent's answer, once there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Bytes of the answer that are kept.
    pub bytes: u64,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Body of `202 Accepted`, and of every look at one that is still running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingInvocation {
    /// Its id.
    pub invocation_id: InvocationId,
    /// How far it is.
    pub state: InvocationState,
    /// Which runtime it is for.
    pub runtime_id: RuntimeId,
    /// Through which endpoint.
    pub endpoint: EndpointName,
    /// In which session.
    pub runtime_session_id: SessionId,
    /// When it was accepted.
    pub created_at: String,
    /// Bytes of the answer so far.
    pub bytes: u64,
}
