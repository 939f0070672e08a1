//! `/innkeep/v1`: the operator API that the CLI uses. JSON, camelCase, times as ISO-8601 strings unless named `…Ms`.

pub mod audit;
pub mod invocations;
pub mod keys;
pub mod pools;
pub mod requests;

use std::collections::BTreeMap;

use innkeep_types::{
    AgentExit, EndpointName, RequestId, RuntimeId, RuntimeName, RuntimeStatus, RuntimeVersion, SessionId, Settings,
    StopReason, Tier,
};
use serde::{Deserialize, Serialize};

use crate::diff::Difference;

/// Answer to `POST /innkeep/v1/artifacts?kind=zip|project[&layer=FINGERPRINT]` (body: the zip; a signed upload announces it in
/// `x-amz-content-sha256`): what to put in
/// `codeConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadedArtifact {
    /// `code.s3.bucket`.
    pub bucket: String,
    /// `code.s3.prefix`.
    pub prefix: String,
    /// `runtime`.
    pub runtime: String,
    /// `entryPoint`.
    pub entry_point: Vec<String>,
    /// What was found and decided, for people: one sentence each.
    pub notes: Vec<String>,
}

/// Answer to `POST /innkeep/v1/artifacts?kind=image[&name=NAME]` (body: an archive of `docker save`, or an OCI layout as tar): what
/// to put in `containerConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadedImage {
    /// `containerUri`: a reference by digest.
    pub container_uri: String,
    /// What was found and decided, for people: one sentence each.
    pub notes: Vec<String>,
}

/// Body of `PUT /innkeep/v1/runtimes/{runtimeId}/endpoints/{endpoint}/split`: which versions serve an endpoint's new sessions, in
/// which proportion. A session stays with its version. Answered with the [`EndpointView`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitEndpoint {
    /// Weights, 0 to 1000, by version; in sum above 0. With one version the endpoint is not split any more.
    pub weights: BTreeMap<RuntimeVersion, u32>,
}

/// Body of `POST /innkeep/v1/runtimes/{runtimeId}/rollback`: an older version serves again. Answered like UpdateAgentRuntime for
/// `DEFAULT`, of which a copy of the old version becomes the newest; like UpdateAgentRuntimeEndpoint for a named endpoint, which moves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollback {
    /// The version to go back to; absent: the newest READY one before the one that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<RuntimeVersion>,
    /// The endpoint; absent: `DEFAULT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointName>,
}

/// Answer to `GET /innkeep/v1/runtimes/{runtimeId}/versions/diff?from=&to=`: how two versions differ in configuration and settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionsDiff {
    /// The one before.
    pub from: RuntimeVersion,
    /// The one after.
    pub to: RuntimeVersion,
    /// By path. Values of environment variables are masked.
    pub differences: Vec<Difference>,
}

/// Answer to `GET /innkeep/v1/artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactList {
    /// Last used first.
    pub artifacts: Vec<ArtifactView>,
}

/// One thing in the artifact store. `DELETE /innkeep/v1/artifacts/{digest}` removes it, unless a version needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactView {
    /// Names it: a code artifact's prefix, or the digest of an image's manifest, hexadecimal.
    pub digest: String,
    /// `code` or `image`.
    pub kind: String,
    /// Images: the reference that it came by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// What it takes on disk, bytes; parts that it shares with others count for each.
    pub bytes: u64,
    /// The versions that need it.
    pub used_by: Vec<ArtifactUse>,
    /// When somebody last used it.
    pub last_used_at: String,
}

/// Answer to `GET /innkeep/v1/runtimes/{runtimeId}/progress`: how far the pull of the newest version's image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProgressView {
    /// Absent unless one is going on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<PullView>,
}

/// A pull that is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PullView {
    /// The image's layers.
    pub layers: usize,
    /// Those that are here, unpacked.
    pub layers_done: usize,
    /// Bytes that its layers have, compressed.
    pub bytes: u64,
    /// Bytes of them that are here.
    pub bytes_done: u64,
}

/// A version that needs an artifact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactUse {
    /// Its runtime's name.
    pub runtime: RuntimeName,
    /// The version.
    pub version: RuntimeVersion,
}

/// What [`SessionView::state`] can be.
pub const SESSION_STATES: [&str; 5] = ["Provisioning", "Active", "Idle", "Stopping", "Stopped"];

/// Where the time of a session's start went. A phase that was not seen, or is not part of how the sandbox came about, is absent, and
/// its time in the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartView {
    /// How the sandbox came about: `cold`, `pool` or `zygote`.
    pub way: String,
    /// From the request's asking to the beginning of the start, milliseconds, as all that follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
    /// Until a sandbox that was ready was bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_ms: Option<f64>,
    /// Until the sandbox was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_ms: Option<f64>,
    /// Until the agent had bound its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_ms: Option<f64>,
    /// Until its first good health answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ping_ms: Option<f64>,
    /// Until the first byte of the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_ms: Option<f64>,
}

/// One session, as `GET /innkeep/v1/sessions` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Its runtime.
    pub runtime_id: RuntimeId,
    /// Its endpoint.
    pub endpoint: EndpointName,
    /// The caller's id for it.
    pub session_id: SessionId,
    /// The version its sandbox runs, or last ran.
    pub version: RuntimeVersion,
    /// One of [`SESSION_STATES`].
    pub state: String,
    /// The tier that the sandbox got.
    pub tier: Tier,
    /// What is weaker about it than users may expect, one sentence each. Only while it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub caveats: Vec<String>,
    /// When the present, or last, sandbox was started.
    pub started_at: String,
    /// The request that it was started for, as its caller knows it (`x-amzn-requestid`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_by: Option<RequestId>,
    /// When it became ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_ms: Option<u64>,
    /// Where that time went. Only while it runs, on the server that started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<String>,
    /// Requests open now.
    pub open_requests: u32,
    /// Milliseconds until it idles out, if it is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_left_ms: Option<u64>,
    /// Milliseconds until it reaches `maxLifetime`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_left_ms: Option<u64>,
    /// The agent's process on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_pid: Option<i32>,
    /// Memory that the agent and the processes it started have resident; what they share counts more than once. Only if asked
    /// for, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time that they have used, milliseconds. Only if asked for, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// How the agent ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<AgentExit>,
}

/// Answer to `GET /innkeep/v1/sessions?runtime=&endpoint=&session=&state=&all=true&usage=true`. Stopped ones are left out unless
/// `all`, `session` or `state` asks for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionView>,
}

/// One runtime, as `GET /innkeep/v1/runtimes[?name=]` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeView {
    /// Its name.
    pub name: RuntimeName,
    /// Its id.
    pub id: RuntimeId,
    /// Its ARN.
    pub arn: String,
    /// Where its newest version stands.
    pub status: RuntimeStatus,
    /// Its newest version.
    pub latest_version: RuntimeVersion,
    /// Why the newest version failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Members of the newest version's configuration that are stored and shown, and that nothing acts on.
    #[serde(default)]
    pub ignored: Vec<String>,
    /// The newest version's settings, as they were given.
    #[serde(default)]
    pub settings: Settings,
    /// Its endpoints.
    pub endpoints: Vec<EndpointView>,
    /// Sessions that have a sandbox now.
    pub live_sessions: u32,
    /// When it was last changed.
    pub last_updated_at: String,
}

/// One endpoint of a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointView {
    /// Its name.
    pub name: EndpointName,
    /// The version that serves.
    pub live_version: Option<RuntimeVersion>,
    /// The version that it is to serve.
    pub target_version: RuntimeVersion,
    /// The versions that share its new sessions, and their weights; empty: all go to the live one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub split: BTreeMap<RuntimeVersion, u32>,
    /// Where it stands.
    pub status: RuntimeStatus,
}

/// Answer to `GET /innkeep/v1/runtimes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeList {
    /// By name.
    pub runtimes: Vec<RuntimeView>,
}

/// One line of `GET /innkeep/v1/logs?runtime=&endpoint=&session=&sinceMs=&grep=&follow=true` (newline-delimited JSON).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// When, milliseconds since the epoch.
    pub time_ms: i64,
    /// Of which session.
    pub session_id: SessionId,
    /// Of which version.
    pub version: RuntimeVersion,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The line.
    pub message: String,
}

/// Body of `POST /innkeep/v1/sessions/stop`: ends the named session, or all idle ones of a runtime that do not run `keep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopSessions {
    /// Of which runtime.
    pub runtime_id: RuntimeId,
    /// On which endpoint; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointName>,
    /// Which session; every one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Only sessions without an open request (`innkeep dev` reloads with this).
    #[serde(default)]
    pub only_idle: bool,
    /// Sessions of this version are left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_version: Option<RuntimeVersion>,
    /// SIGKILL at once, without SIGTERM and grace; also for a session that is starting, or ending already.
    #[serde(default)]
    pub kill: bool,
    /// Record the reason `Reloaded` and not `StoppedByCaller`.
    #[serde(default)]
    pub reload: bool,
}

/// Answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoppedSessions {
    /// Which ones were told to end.
    pub stopped: Vec<SessionId>,
}

/// What a running server keeps in `server.json` in its data directory, so that commands find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerFile {
    /// Its base URL.
    pub url: String,
    /// Its process.
    pub pid: u32,
    /// Its region.
    pub region: String,
    /// Its account.
    pub account: String,
    /// The file of the CA that signed its certificate, if clients do not trust that anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The name of its dev issuer, whose tokens whoever can read the data directory makes; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dev_issuer: Option<String>,
}
