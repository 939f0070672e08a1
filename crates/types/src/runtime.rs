//! What a runtime version is made of: the immutable configuration that Create and Update carry, and Innkeep's own settings.

mod pool_size;
mod protocol;
mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Egress, Resources, Tier, limits};

pub use pool_size::PoolSize;
pub use protocol::{ExplicitProtocol, Protocol, ServerProtocol};
pub use version::Authorizer;

/// Where a runtime, a version or an endpoint stands. Spelled as the API spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(missing_docs, reason = "the words are the API's own; the developer guide has the arrows between them")]
pub enum RuntimeStatus {
    Creating,
    CreateFailed,
    Updating,
    UpdateFailed,
    Ready,
    Deleting,
    DeleteFailed,
}

impl RuntimeStatus {
    /// Returns the word of the API, `CREATE_FAILED` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::CreateFailed => "CREATE_FAILED",
            Self::Updating => "UPDATING",
            Self::UpdateFailed => "UPDATE_FAILED",
            Self::Ready => "READY",
            Self::Deleting => "DELETING",
            Self::DeleteFailed => "DELETE_FAILED",
        }
    }

    /// Tells whether work is under way, so that another change is a conflict.
    pub fn in_progress(self) -> bool {
        matches!(self, Self::Creating | Self::Updating | Self::Deleting)
    }
}

/// The immutable configuration of one version, as validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionConfig {
    /// What to run.
    pub artifact: Artifact,
    /// The execution role; stored and returned, not assumed.
    pub role_arn: String,
    /// People's words about it.
    pub description: Option<String>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// When its sessions end.
    pub lifecycle: Lifecycle,
    /// Environment of the agent's process. Sensitive: sealed at rest, never logged.
    pub environment: BTreeMap<String, String>,
    /// `V1` unless the caller chose `V2`; kept by an Update that omits it.
    pub platform_version: Option<String>,
    /// `resourceConfigurations[0].minimumMemoryInMiB`: what a sandbox has of memory at least.
    #[serde(default)]
    pub minimum_memory_mib: Option<u32>,
    /// `hooksConfiguration.build.warmup`: asked once, while the version is made.
    #[serde(default)]
    pub warmup: Option<Warmup>,
    /// `requestHeaderAllowlist`: what of a caller's headers the agent sees besides; lower-case.
    #[serde(default)]
    pub request_headers: Vec<String>,
    /// Members of the request that are shown as they were sent, by name: those that nothing acts on, and those of which the fields
    /// above are only a part. No secrets.
    #[serde(default)]
    pub kept: BTreeMap<String, Value>,
}

/// One request that an agent answers before its version is READY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warmup {
    /// The path that is posted to.
    pub path: String,
    /// The agent's port for it; none: the one that it serves on.
    pub port: Option<u16>,
}

/// What the user deploys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Artifact {
    /// A zip in an object store. Bucket [`Artifact::BUILT_IN_BUCKET`] is Innkeep's own; its prefixes are what an upload returned.
    Code {
        /// `code.s3.bucket`.
        bucket: String,
        /// `code.s3.prefix`, the object's key.
        prefix: String,
        /// `code.s3.versionId`.
        version_id: Option<String>,
        /// `runtime`: `PYTHON_3_10` … `PYTHON_3_14`, `NODE_22`, or ours: `PROVIDED`, any executable.
        runtime: String,
        /// `entryPoint`: one or two items.
        entry_point: Vec<String>,
    },
    /// An OCI image by reference.
    Container {
        /// `containerUri`.
        uri: String,
    },
}

impl Artifact {
    /// The bucket name under which the built-in artifact store appears in `code.s3`.
    pub const BUILT_IN_BUCKET: &'static str = "innkeep";
}

/// `lifecycleConfiguration`: seconds, idle ≤ max.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// `idleRuntimeSessionTimeout`, seconds.
    pub idle_timeout_secs: u32,
    /// `maxLifetime`, seconds.
    pub max_lifetime_secs: u32,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            idle_timeout_secs: u32::try_from(limits::IDLE_TIMEOUT.as_secs()).unwrap_or(u32::MAX),
            max_lifetime_secs: u32::try_from(limits::MAX_LIFETIME.as_secs()).unwrap_or(u32::MAX),
        }
    }
}

/// What AWS has no field for: one object per version, from `[agent]` of the project's `innkeep.toml` and `deploy --set`.
/// Absent members take the defaults named here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How readiness and health are found; default what [`ServerProtocol::health`] says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthCheck>,
    /// Whether the agent also gets `X-Session-Id`, `X-Request-Id`, `X-Access-Token`; default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_aliases: Option<bool>,
    /// Seconds from start to the first good health answer; default [`VersionConfig::start_timeout`], at most
    /// [`limits::MAX_START_TIMEOUT`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout_secs: Option<u32>,
    /// The weakest isolation that its sessions may get; default whatever the server gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<Tier>,
    /// How far its agents reach; default what `networkMode` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
    /// Memory of a sandbox, MiB; default [`limits::SESSION_MEMORY_BYTES`]. `minimumMemoryInMiB` raises it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Processor time of a sandbox, thousandths of a processor; default [`limits::SESSION_CPU_MILLIS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_millis: Option<u32>,
    /// Processes and threads of a sandbox; default [`limits::SESSION_PROCESSES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    /// Open files of a process; default [`limits::SESSION_OPEN_FILES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// The writable layer, MiB; default [`limits::SESSION_DISK_BYTES`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_mib: Option<u32>,
    /// Sandboxes kept ready for sessions to come; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolSize>,
    /// Whether sessions start from an interpreter that has imported the agent's frameworks already; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zygote: Option<bool>,
    /// Modules of the agent's own that this interpreter imports besides, by name; default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zygote_modules: Option<Vec<String>>,
    /// Whether a session is open only to whoever started it; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_owner: Option<bool>,
}

impl Settings {
    /// The names of all settings, for messages about unknown ones.
    pub const KEYS: [&'static str; 14] = [
        "health",
        "header_aliases",
        "start_timeout_secs",
        "isolation",
        "egress",
        "memory_mib",
        "cpu_millis",
        "processes",
        "open_files",
        "disk_mib",
        "pool",
        "zygote",
        "zygote_modules",
        "session_owner",
    ];

    /// Returns these settings with what they leave out taken from `below`.
    #[must_use]
    pub fn or(self, below: &Self) -> Self {
        Self {
            health: self.health.or(below.health),
            header_aliases: self.header_aliases.or(below.header_aliases),
            start_timeout_secs: self.start_timeout_secs.or(below.start_timeout_secs),
            isolation: self.isolation.max(below.isolation),
            egress: self.egress.or(below.egress),
            memory_mib: self.memory_mib.or(below.memory_mib),
            cpu_millis: self.cpu_millis.or(below.cpu_millis),
            processes: self.processes.or(below.processes),
            open_files: self.open_files.or(below.open_files),
            disk_mib: self.disk_mib.or(below.disk_mib),
            pool: self.pool.or(below.pool),
            zygote: self.zygote.or(below.zygote),
            zygote_modules: self.zygote_modules.or_else(|| below.zygote_modules.clone()),
            session_owner: self.session_owner.or(below.session_owner),
        }
    }

    /// Returns what a sandbox may use.
    pub fn resources(&self) -> Resources {
        let default = Resources::default();
        let bytes = |mib: Option<u32>, default| mib.map_or(default, |mib| u64::from(mib) << 20);
        Resources {
            memory_bytes: bytes(self.memory_mib, default.memory_bytes),
            cpu_millis: self.cpu_millis.unwrap_or(default.cpu_millis),
            processes: self.processes.unwrap_or(default.processes),
            open_files: self.open_files.unwrap_or(default.open_files),
            disk_bytes: bytes(self.disk_mib, default.disk_bytes),
            disk_files: default.disk_files,
        }
    }
}

/// How the sidecar finds out that the agent lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthCheck {
    /// `GET /ping` answers 200 (the contract).
    #[default]
    Ping,
    /// The agent's port accepts a connection (agents without `/ping`; MCP).
    Tcp,
}
