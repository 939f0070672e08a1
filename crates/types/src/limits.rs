//! Every limit of the contract: unit, default, source. Settings of the same name override them.

mod identity;
pub mod invocations;
mod pools;
mod sandboxes;

use std::time::Duration;

pub use identity::*;
pub use pools::*;
pub use sandboxes::*;

/// The largest request or response body, bytes. Source: model, `InvokeAgentRuntime.payload` 0..100000000.
pub const MAX_BODY_BYTES: u64 = 100_000_000;

/// A request's body up to this size is held in memory while its signature is checked; a larger one goes to an unlinked file.
/// Bytes. Source: our choice.
pub const SPOOL_MEMORY_BYTES: usize = 1 << 20;

/// All spooled files of one server together, bytes. Source: our choice: fifty largest bodies at once.
pub const SPOOL_TOTAL_BYTES: u64 = 50 * MAX_BODY_BYTES;

/// The part of all requests' bodies that is held in memory at one time, bytes; beyond it they go to files at once. Bodies up to
/// 64 KiB are not counted. Source: our choice.
pub const SPOOL_MEMORY_TOTAL_BYTES: u64 = 256 << 20;

/// Connections served at one time; more wait in the kernel's queue. Each costs one task and its buffers. Source: our choice.
pub const MAX_CONNECTIONS: usize = 10_000;

/// Time a client may take to send a request's head, and be silent between two requests. Source: our choice.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest body of a StopRuntimeSession, bytes, which is read before its caller is known. Source: our choice; the model's one
/// member, `clientToken`, has 256 characters at most.
pub const MAX_STOP_BODY_BYTES: u64 = 4096;

/// The longest pause within a request's body. Source: our choice.
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest time for which a client may take in nothing of its answer. Source: our choice.
pub const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(300);

/// Time without a request after which a session ends. Source: service model and developer guide, `idleRuntimeSessionTimeout` default.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Age at which a session ends regardless. Source: service model and developer guide, `maxLifetime` default.
pub const MAX_LIFETIME: Duration = Duration::from_secs(8 * 60 * 60);

/// The least value of both lifecycle times, seconds. Source: model.
pub const LIFECYCLE_MIN_SECS: u32 = 60;

/// The greatest value of both lifecycle times, seconds (14 days). Source: model.
pub const LIFECYCLE_MAX_SECS: u32 = 1_209_600;

/// Time from the start of a code agent to its first good `/ping`. Source: field reports of the service, "30 s (direct code)".
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for an image, and for platform version V2. Source: field reports of the service, "120 s (container)"; AgentCore developer
/// guide, "V2 needs healthy `/ping` ≤120 s".
pub const SLOW_START_TIMEOUT: Duration = Duration::from_secs(120);

/// Time to the answer to a version's warm-up request. Source: AgentCore developer guide, lifecycle hooks.
pub const WARMUP_TIMEOUT: Duration = Duration::from_secs(120);

/// The longest that a version may set its start timeout to. Source: our choice: as long as a request may wait for its answer.
pub const MAX_START_TIMEOUT: Duration = SYNC_REQUEST_TIMEOUT;

/// Time to the agent's response head. Source: AgentCore quotas, "15 min sync request".
pub const SYNC_REQUEST_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Time from the request to the end of a streamed response. Source: AgentCore quotas, "60 min streaming".
pub const STREAM_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// The payload of one frame of a WebSocket, bytes. Source: AgentCore quotas, "64 KB WebSocket frame".
pub const MAX_FRAME_BYTES: u64 = 64 << 10;

/// Frames that one side of a WebSocket may begin within a second. Source: AgentCore quotas, "250 frames/s".
pub const MAX_FRAMES_PER_SECOND: u32 = 250;

/// The longest command, bytes. Source: service model, `InvokeAgentRuntimeCommandRequestBody`.
pub const MAX_COMMAND_BYTES: usize = 65_536;

/// How long a command runs that says nothing of it. Source: service model.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// The longest that a command may ask for. Source: service model.
pub const MAX_COMMAND_TIMEOUT: Duration = Duration::from_secs(3600);

/// What a command may write to both outputs together, bytes. Source: AgentCore quotas, 100 MB.
pub const MAX_COMMAND_OUTPUT_BYTES: u64 = 100_000_000;

/// The payload of one event of a command's output, bytes. Source: AgentCore quotas, 64 KB.
pub const MAX_COMMAND_EVENT_BYTES: usize = 64 << 10;

/// Terminals of one session, with a client or without. Source: AgentCore developer guide, "10 shells per session".
pub const MAX_SHELLS_PER_SESSION: usize = 10;

/// What a terminal printed last and shows to who connects again, bytes. Source: AgentCore developer guide, "256 KB of buffered output".
pub const SHELL_REPLAY_BYTES: usize = 256 << 10;

/// For how long a terminal waits for a client after the last one left. Source: AgentCore developer guide, "about 15 minutes".
pub const SHELL_DETACHED_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The longest time for which a client that takes nothing holds its terminal back; then it has lost it. Source: our choice: no program
/// waits longer for who does not look.
pub const SHELL_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the client of a WebSocket or of a terminal may be silent before it is asked, with a ping, whether it is there; silent for as
/// long again, it has gone. Source: our choice: twice is longer than any network's pause, and browsers beat as often; agents of the SDK
/// ask every 20 s (uvicorn, `ws_ping_interval`), so that no client that talks to one is asked for more.
pub const CLIENT_PING_INTERVAL: Duration = Duration::from_secs(30);

/// Text messages in a row after which a terminal's client is taken to speak something else. Source: AgentCore developer guide.
pub const SHELL_TEXT_MESSAGES: u32 = 5;

/// Time between health checks of a ready agent. Source: field reports of the service, "poll interval about 2 s".
pub const PING_INTERVAL: Duration = Duration::from_secs(2);

/// Missed health checks in a row that mean death while no request is open. Source: our choice.
pub const PING_MISSES: u32 = 3;

/// From SIGTERM to SIGKILL. Source: AgentCore developer guide, "Termination may take up to 15 s".
pub const STOP_GRACE: Duration = Duration::from_secs(15);

/// The port of an HTTP or AG-UI agent. Source: AgentCore developer guide, HTTP protocol contract.
pub const HTTP_AGENT_PORT: u16 = 8080;

/// The port of an MCP server. Source: AgentCore developer guide, MCP protocol contract.
pub const MCP_AGENT_PORT: u16 = 8000;

/// The port of an A2A agent. Source: AgentCore developer guide, A2A protocol contract.
pub const A2A_AGENT_PORT: u16 = 9000;

/// The ports that an agent may choose. Source: model, `ProtocolConfiguration.port`.
pub const AGENT_PORTS: std::ops::RangeInclusive<u16> = 8000..=12000;

/// The one port in [`AGENT_PORTS`] that the contract reserves; the sidecar's.
pub const RESERVED_PORT: u16 = 8443;

/// Sessions with a sandbox at one time. Source: AgentCore quotas, "active sessions 2500".
pub const MAX_ACTIVE_SESSIONS: usize = 2500;

/// New sandboxes per second. Source: AgentCore quotas, "25 new sessions/s/account".
pub const MAX_STARTS_PER_SECOND: u32 = 25;

/// Requests of the data plane per second, of all callers, where others reach the server. Source: AgentCore quotas, 1000 TPS.
pub const MAX_REQUESTS_PER_SECOND: u32 = 1000;

/// Requests of the control plane per second that change something; as above. Source: AgentCore quotas, 50 TPS.
pub const MAX_CHANGES_PER_SECOND: u32 = 50;

/// Get requests of the control plane per second; as above. Source: AgentCore quotas, 150 TPS.
pub const MAX_GETS_PER_SECOND: u32 = 150;

/// List requests of the control plane per second; as above. Source: AgentCore quotas, 25 TPS.
pub const MAX_LISTS_PER_SECOND: u32 = 25;

/// Memory that new sandboxes leave free, bytes. Source: our choice: what four agents of a framework take beyond what they share, so that
/// those who were let in last do not end those who were there.
pub const MEMORY_FLOOR: u64 = 256 << 20;

/// Days for which it is known of a session that it was there, after its last sandbox ended. Source: our choice.
pub const SESSION_RETENTION_DAYS: u32 = 30;

/// Runtimes of one account. Source: AgentCore quotas.
pub const MAX_RUNTIMES: u32 = 1000;

/// Versions of one runtime. Source: AgentCore quotas.
pub const MAX_VERSIONS: u32 = 1000;

/// Endpoints of one runtime, `DEFAULT` counted. Source: AgentCore quotas.
pub const MAX_ENDPOINTS: u32 = 10;

/// Capacity providers of one account. Source: our choice; they are records, and no account needs more.
pub const MAX_CAPACITY_PROVIDERS: u32 = 100;

/// Tags of one resource. Source: model, `TagsMap`.
pub const MAX_TAGS: usize = 50;

/// Versions that share an endpoint's new sessions. Source: our choice; each is read when the endpoint is resolved.
pub const MAX_SPLIT_VERSIONS: usize = 10;

/// The greatest weight of one of them. Source: our choice.
pub const MAX_SPLIT_WEIGHT: u32 = 1000;

/// A code zip as uploaded, bytes. Source: AgentCore developer guide, "Zip ≤250 MB".
pub const MAX_ZIP_BYTES: u64 = 250_000_000;

/// A code zip unpacked, bytes. Source: AgentCore developer guide, "unzipped ≤750 MB".
pub const MAX_UNZIPPED_BYTES: u64 = 750_000_000;

/// Files in one code zip. Source: our choice.
pub const MAX_ZIP_ENTRIES: usize = 50_000;

/// An image as it is sent: its layers, compressed, together; or an uploaded archive; bytes. Source: AgentCore quotas, "image ≤2 GB".
pub const MAX_IMAGE_BYTES: u64 = 2_000_000_000;

/// An image's layers unpacked, together, bytes. Source: our choice; what compresses better than 1 to 5 is hardly a program.
pub const MAX_IMAGE_UNPACKED_BYTES: u64 = 10_000_000_000;

/// Files, directories and links of an image's layers, together. Source: our choice.
pub const MAX_IMAGE_ENTRIES: u64 = 500_000;

/// The names in one layer of an image, together, bytes. Source: our choice: they are held in memory while it is unpacked.
pub const MAX_IMAGE_NAME_BYTES: u64 = 64 << 20;

/// Layers of an image. Source: what Docker's overlay2 driver takes.
pub const MAX_IMAGE_LAYERS: usize = 127;

/// An image's index, manifest or configuration, bytes. Source: OCI distribution specification, which asks registries for 4 MiB.
pub const MAX_IMAGE_METADATA_BYTES: usize = 4 << 20;

/// Time in which an image must have been pulled. Source: our choice: 2 GB at 10 Mbit/s.
pub const IMAGE_PULL_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Environment variables of a version: entries. Source: model.
pub const MAX_ENVIRONMENT_ENTRIES: usize = 50;

/// Environment variables of a version: bytes of all keys and values. Source: AgentCore developer guide, "total 4 KB on V1".
pub const MAX_ENVIRONMENT_BYTES: usize = 4096;

/// The same for an image on platform version V2. Source: AgentCore developer guide, "2.5 KB container".
pub const MAX_V2_CONTAINER_ENVIRONMENT_BYTES: usize = 2560;

/// The same for code on platform version V2. Source: AgentCore developer guide, "1.5 KB code".
pub const MAX_V2_CODE_ENVIRONMENT_BYTES: usize = 1536;

/// The value of a caller's header that a version's allow-list lets through to the agent, bytes. Source: AgentCore developer guide,
/// "value ≤4 KB each".
pub const MAX_ALLOWED_HEADER_BYTES: usize = 4096;

/// The longest id of a JSON-RPC request that errors repeat, bytes. Source: our choice; clients count, or send UUIDs.
pub const MAX_RPC_ID_BYTES: usize = 256;

/// MCP sessions of one sandbox whose own ids are known; the oldest goes. Source: our choice: clients that share a runtime session are
/// few.
pub const MAX_MCP_SESSIONS: usize = 64;

/// The longest id that an MCP server may give a session, bytes. Source: model, `McpSessionId`.
pub const MAX_MCP_SESSION_ID_BYTES: usize = 1024;
