//! Sandboxes that are started before their session, as operators ask for and see them.

use innkeep_types::{EndpointName, PoolSize, RuntimeId, RuntimeVersion, SessionId};
use serde::{Deserialize, Serialize};

/// Body of `POST /innkeep/v1/runtimes/{runtimeId}/prewarm`: a session is started before its first request, or sandboxes that wait for
/// new sessions. Answered with 202 and [`Prewarmed`] before they are ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Prewarm {
    /// The endpoint; absent: `DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointName>,
    /// The session to start; absent: none is, sandboxes wait for whichever comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// How many are to wait, of each version that serves; absent: 1. Those that are taken are not replaced beyond the pool's own size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prewarmed {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The versions of which something is started.
    pub versions: Vec<RuntimeVersion>,
}

/// Answer to `GET /innkeep/v1/pools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolList {
    /// By runtime, endpoint, version.
    pub pools: Vec<PoolView>,
    /// The same of the interpreters that agents are forked from. None of a server that did not tell.
    #[serde(default)]
    pub zygotes: Vec<ZygoteView>,
}

/// The sandboxes of one version behind one endpoint that wait for sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolView {
    /// The runtime.
    pub runtime_id: RuntimeId,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The version.
    pub version: RuntimeVersion,
    /// The setting `pool`; absent: somebody asked for them by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<PoolSize>,
    /// How many are to wait now.
    pub wanted: usize,
    /// Those that wait, oldest first.
    pub ready: Vec<PoolMemberView>,
    /// How many are being started.
    pub starting: usize,
    /// New sessions that took one, since the version serves and this server runs.
    pub hits: u64,
    /// New sessions that found none.
    pub misses: u64,
    /// Those that ended without a session.
    pub wasted: u64,
    /// Milliseconds that the last one took from the decision to start it to the moment when it waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_refill_ms: Option<u64>,
    /// The last one that did not start, or ended while it waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<PoolFailure>,
    /// Why none are started, or wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// One sandbox that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolMemberView {
    /// When it was started.
    pub started_at: String,
    /// The agent's process on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_pid: Option<i32>,
    /// What it uses, bytes, as it was last looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// What went wrong with one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolFailure {
    /// When.
    pub at: String,
    /// What: whole sentences.
    pub message: String,
}

/// The interpreter that the agents of one version behind one endpoint are forked from, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZygoteView {
    /// The runtime.
    pub runtime_id: RuntimeId,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The version.
    pub version: RuntimeVersion,
    /// `starting`: it imports; `ready`: it forks; `resting`: there is none for a while; `unfit`: there will be none.
    pub state: String,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Agents that were forked from the present one.
    pub forks: u64,
}
