//! What is kept: runtimes, versions, endpoints, access keys, sessions.

pub(crate) mod endpoint;
mod invocation;

use std::collections::BTreeMap;

use innkeep_types::{
    Artifact, ArtifactDigest, EndpointName, RequestId, RuntimeId, RuntimeName, RuntimeStatus, RuntimeVersion,
    SandboxId, SessionId, SessionKey, SessionOwner, Settings, StopReason, Tier, UnixMillis, VersionConfig,
};
use serde::{Deserialize, Serialize};

pub use invocation::InvocationRecord;

/// A runtime without its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeRecord {
    /// Its id.
    pub id: RuntimeId,
    /// Its name, unique in the store.
    pub name: RuntimeName,
    /// The newest version's number.
    pub latest: RuntimeVersion,
    /// The newest version's status, or DELETING.
    pub status: RuntimeStatus,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When anything of it last changed.
    pub updated_at: UnixMillis,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// One immutable version and how its making stands. Its environment is left out, and empty, in the list of runtimes and in the answer to a token
/// that was sent before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// That runtime's name.
    pub name: RuntimeName,
    /// Its number.
    pub version: RuntimeVersion,
    /// As validated.
    pub config: VersionConfig,
    /// As given, or copied forward.
    pub settings: Settings,
    /// CREATING/UPDATING until booted once, then READY or CREATE_FAILED/UPDATE_FAILED; DELETING.
    pub status: RuntimeStatus,
    /// Why it failed, for any caller.
    pub failure_reason: Option<String>,
    /// The agent's last log lines of a failed boot, for operators.
    pub failure_log: Vec<String>,
    /// The bundle it runs, once READY; of a copy that is being made, the one it is to run.
    pub bundle: Option<ArtifactDigest>,
    /// When the runtime was created.
    pub created_at: UnixMillis,
    /// When this version last changed.
    pub updated_at: UnixMillis,
}

/// What the contract's lists show of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// That runtime's name.
    pub name: RuntimeName,
    /// Its number.
    pub version: RuntimeVersion,
    /// People's words about it.
    pub description: Option<String>,
    /// Where it stands.
    pub status: RuntimeStatus,
    /// When the runtime was created.
    pub created_at: UnixMillis,
    /// When this version last changed.
    pub updated_at: UnixMillis,
}

/// What Create asks for.
#[derive(Debug, Clone)]
pub struct NewRuntime {
    /// Its fresh id.
    pub id: RuntimeId,
    /// Its name.
    pub name: RuntimeName,
    /// Version 1.
    pub config: VersionConfig,
    /// Version 1's settings.
    pub settings: Settings,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// `clientToken` and a digest of the request it came with.
    pub token: Option<ClientToken>,
    /// Now.
    pub at: UnixMillis,
}

/// A caller's idempotency token. The same token with the same digest, operation and runtime gives the first answer
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// The token.
    pub token: String,
    /// SHA-256 of the request's parameters in canonical form, hex.
    pub digest: String,
}

/// The answer to Create and Update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The version as it stood when it was accepted.
    pub version: VersionRecord,
    /// Whether this is the first answer again, to a token that was sent before: its making has begun already.
    pub replayed: bool,
}

/// How the making of a version ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It booted and answered: DEFAULT moves to it.
    Ready {
        /// What it runs.
        bundle: ArtifactDigest,
    },
    /// It did not: DEFAULT stays.
    Failed {
        /// For any caller.
        reason: String,
        /// For operators.
        log: Vec<String>,
    },
}

/// An access key, and the principal whose it is. The secret is sealed at rest.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// `AKIA…`.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// Whose it is. Several keys may be one principal's.
    pub name: String,
    /// What it may do: names of ready-made policies, and documents in IAM's language.
    pub policies: Vec<String>,
    /// Whether its holder may use the operator API and see log lines in errors.
    pub operator: bool,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Whether it is good at present.
    pub active: bool,
    /// When it was made.
    pub created_at: UnixMillis,
    /// From when on it is refused.
    pub expires_at: Option<UnixMillis>,
    /// When it was last used: some minutes later than that it may have been used again.
    pub last_used_at: Option<UnixMillis>,
    /// The key that a rotation made in its place.
    pub replaced_by: Option<String>,
}

impl AccessKey {
    /// Returns an active key that may do nothing, for ever.
    pub fn new(id: impl Into<String>, secret: impl Into<String>, name: impl Into<String>, at: UnixMillis) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            name: name.into(),
            policies: Vec::new(),
            operator: false,
            description: None,
            active: true,
            created_at: at,
            expires_at: None,
            last_used_at: None,
            replaced_by: None,
        }
    }
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("policies", &self.policies)
            .field("operator", &self.operator)
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}

/// The present or last sandbox of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    /// Which session.
    pub key: SessionKey,
    /// Which sandbox.
    pub sandbox: SandboxId,
    /// The version it ran.
    pub version: RuntimeVersion,
    /// The tier it got.
    pub tier: Tier,
    /// When it was started.
    pub started_at: UnixMillis,
    /// The request that it was started for, unless a server that did not keep it started it.
    pub started_by: Option<RequestId>,
    /// Whose it is, unless a server that did not keep it started it, or nobody in particular did.
    pub owner: Option<SessionOwner>,
    /// When it ended and why; none while it lives.
    pub stopped: Option<(UnixMillis, StopReason)>,
}

/// A sandbox that waits for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolMemberRecord {
    /// Which sandbox.
    pub sandbox: SandboxId,
    /// Of which runtime.
    pub runtime: RuntimeId,
    /// For sessions of which endpoint.
    pub endpoint: EndpointName,
    /// The version it runs.
    pub version: RuntimeVersion,
    /// The tier it got.
    pub tier: Tier,
    /// When it was started.
    pub started_at: UnixMillis,
    /// Digest of what it was made of.
    pub made_of: String,
}

/// One of the sandboxes that a session had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxRecord {
    /// Which sandbox.
    pub id: SandboxId,
    /// Of which session.
    pub key: SessionKey,
    /// The version it ran.
    pub version: RuntimeVersion,
}

/// Which sandboxes to list; what is none is not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxFilter {
    /// Of one runtime.
    pub runtime: Option<RuntimeId>,
    /// Of one endpoint.
    pub endpoint: Option<EndpointName>,
    /// Of one session id.
    pub session: Option<SessionId>,
    /// Those that live, and those that ended at this time or later.
    pub ended_since: UnixMillis,
}

/// What a version is made of on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// The name of its runtime.
    pub runtime: RuntimeName,
    /// Which version.
    pub version: RuntimeVersion,
    /// What was uploaded, or where it is.
    pub artifact: Artifact,
    /// The bundle that it became.
    pub bundle: Option<ArtifactDigest>,
}
