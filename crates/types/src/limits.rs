//! Every limit of the contract: unit, default, source. Settings of the same name override them.

pub mod invocations;

use std::time::Duration;

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

/// How far a signature's date may be from ours. Source: IAM guide, "within five minutes".
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// How far a token's `exp`, `nbf` and `iat` may be off from our clock. Source: our choice, within RFC 7519 section 4.1.4, "usually no more
/// than a few minutes".
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);

/// The longest bearer token, bytes as sent. Source: our choice, below the 16 KiB that servers commonly take as one header.
pub const MAX_TOKEN_BYTES: usize = 16_000;

/// The longest header of a token, bytes as sent: certificate chains have no place in one that is sent with each request. Source: our
/// choice.
pub const MAX_TOKEN_HEADER_BYTES: usize = 4096;

/// The longest `kid`, bytes: it is what remembered keys and misses are filed under. Source: our choice.
pub const MAX_KEY_ID_BYTES: usize = 256;

/// JSON values in a token's header, and in its claims. Source: our choice: one that lists 200 groups has some 230.
pub const MAX_TOKEN_VALUES: usize = 2000;

/// Depth of objects and arrays in a token, and in a key set. Source: our choice.
pub const MAX_TOKEN_DEPTH: usize = 16;

/// The longest key set of an issuer, bytes. Source: our choice: ten keys with their certificates are about 30 KB.
pub const MAX_KEY_SET_BYTES: usize = 256 << 10;

/// Keys in a key set, of any kind. Source: our choice.
pub const MAX_KEY_SET_KEYS: usize = 100;

/// JSON values in a key set. Source: our choice, 40 for each key.
pub const MAX_KEY_SET_VALUES: usize = 40 * MAX_KEY_SET_KEYS;

/// The longest discovery URL, bytes. Source: our choice; the model has no maximum.
pub const MAX_DISCOVERY_URL_BYTES: usize = 2048;

/// For how long a presigned request is good at most, from its date. Source: bedrock-agentcore SDK, `generate_presigned_url`.
pub const MAX_PRESIGNED_LIFETIME: Duration = Duration::from_secs(300);

/// For how long a temporary key is good at most. Source: STS API reference, AssumeRole `DurationSeconds`.
pub const MAX_TEMPORARY_LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// For how long it is good, unless asked. Source: STS API reference, AssumeRole `DurationSeconds`.
pub const TEMPORARY_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Characters of a session policy. Source: STS API reference, AssumeRole `Policy`.
pub const MAX_SESSION_POLICY_CHARS: usize = 2048;

/// For how long a key that was rotated still works, unless asked. Source: our choice: a day to roll the new one out.
pub const ROTATION_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// For how long it may still work at most. Source: our choice.
pub const MAX_ROTATION_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Access keys of a server. They are all held in memory. Source: IAM quotas, 5000 users in an account.
pub const MAX_ACCESS_KEYS: usize = 5000;

/// Policies of one access key. Source: IAM quotas, managed policies attached to a user.
pub const MAX_KEY_POLICIES: usize = 10;

/// For how long a key that expires is good at most. Source: our choice; what is to last longer need not expire.
pub const MAX_KEY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long a key's last use may go unwritten. Source: our choice: coarse enough for no request to notice.
pub const KEY_USE_INTERVAL: Duration = Duration::from_secs(3 * 60);

/// Characters of a principal's name. Source: IAM API reference, `UserName`.
pub const MAX_PRINCIPAL_NAME_CHARS: usize = 64;

/// Characters of an access key's description. Source: our choice.
pub const MAX_KEY_DESCRIPTION_CHARS: usize = 256;

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

/// Days for which the audit log is kept. Source: our choice.
pub const AUDIT_RETENTION_DAYS: u32 = 90;

/// Audit events that wait to be written; of more only the number is written. Source: our choice: a second's worth of a busy server.
pub const AUDIT_QUEUE: usize = 4096;

/// Refusals in a burst that the audit log has a line for each of. Source: our choice.
pub const AUDIT_REFUSALS_BURST: u32 = 100;

/// Refusals per second that it has lines for in the long run; further ones are counted. Source: our choice: a flood of 90 days takes
/// less than 4 GB, at some 250 bytes a line.
pub const AUDIT_REFUSALS_PER_SECOND: u32 = 1;

/// Runtimes of one account. Source: AgentCore quotas.
pub const MAX_RUNTIMES: u32 = 1000;

/// Versions of one runtime. Source: AgentCore quotas.
pub const MAX_VERSIONS: u32 = 1000;

/// Endpoints of one runtime, `DEFAULT` counted. Source: AgentCore quotas.
pub const MAX_ENDPOINTS: u32 = 10;

/// Capacity providers of one account. Source: our choice; they are records, and no account needs more.
pub const MAX_CAPACITY_PROVIDERS: u32 = 100;

/// Issuers of tokens of which something is remembered; whoever was unused for longest is forgotten. Source: our choice; each costs up
/// to a few hundred KiB.
pub const MAX_ISSUERS: usize = 256;

/// Time in which an issuer must have sent discovery document and key set. Source: our choice; requests wait for it.
pub const ISSUER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often an issuer may send us on to another URL, for each of its documents. Source: our choice; most do never.
pub const MAX_ISSUER_REDIRECTS: usize = 3;

/// An issuer's discovery document, bytes. Source: our choice; they have a few KiB.
pub const MAX_DISCOVERY_BYTES: usize = 64 << 10;

/// Time for which an issuer's keys are good if it does not say. Source: our choice.
pub const ISSUER_KEYS_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The least and the most that it may say. Source: our choice: a key that was withdrawn is refused within an hour.
pub const ISSUER_KEYS_LIFETIMES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// Time for which they are good besides, while the issuer cannot be asked. Source: our choice.
pub const ISSUER_KEYS_GRACE: Duration = Duration::from_secs(60 * 60);

/// Time for which an issuer that failed is not asked again. Source: our choice.
pub const ISSUER_RETRY: Duration = Duration::from_secs(10);

/// Time between two questions to an issuer about keys that tokens name and that it did not publish. Source: our choice: whoever makes
/// up tokens makes us ask no more often.
pub const ISSUER_UNKNOWN_KEY_INTERVAL: Duration = Duration::from_secs(60);

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

/// A list in a runtime's authorizer that the model leaves without a maximum: items. Source: our choice; each version keeps its own.
pub const MAX_AUTHORIZER_ITEMS: usize = 1000;

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

/// Memory of one sandbox, bytes; its writable layer counts. Source: AgentCore quotas, "2 vCPU/8 GB per session".
pub const SESSION_MEMORY_BYTES: u64 = 8 << 30;

/// Processor time of one sandbox, thousandths of a processor. Source: AgentCore quotas, "2 vCPU/8 GB per session".
pub const SESSION_CPU_MILLIS: u32 = 2000;

/// Processes and threads of one sandbox. Source: our choice; a thread pool per core of a large host fits, a fork bomb does not.
pub const SESSION_PROCESSES: u32 = 1024;

/// Open files of one process in a sandbox. Source: our choice; the kernel's hard limit for services under systemd is 524288.
pub const SESSION_OPEN_FILES: u64 = 65_536;

/// The writable layer of one sandbox, bytes. Source: AgentCore quotas, "session storage 1 GB".
pub const SESSION_DISK_BYTES: u64 = 1 << 30;

/// What settings and `minimumMemoryInMiB` may give a sandbox of memory, MiB. Source: our choice: below, no interpreter starts; above,
/// it is a typing error.
pub const SETTABLE_MEMORY_MIB: std::ops::RangeInclusive<u32> = 16..=16_777_216;

/// What settings may give a sandbox of processor time, thousandths of a processor. Source: our choice: control groups count in
/// periods of 100 ms, of which the kernel gives at least 1 ms.
pub const SETTABLE_CPU_MILLIS: std::ops::RangeInclusive<u32> = 10..=1_024_000;

/// What settings may give a sandbox of processes and threads. Source: our choice below; kernel, `PID_MAX_LIMIT`, above.
pub const SETTABLE_PROCESSES: std::ops::RangeInclusive<u32> = 8..=4_194_304;

/// What settings may give a process of open files. Source: our choice below; kernel, default of `fs.nr_open`, above.
pub const SETTABLE_OPEN_FILES: std::ops::RangeInclusive<u64> = 64..=1_048_576;

/// What settings may give a sandbox of writable layer, MiB. Source: our choice.
pub const SETTABLE_DISK_MIB: std::ops::RangeInclusive<u32> = 1..=16_777_216;

/// Files in the writable layer of one sandbox. Source: AgentCore quotas, session storage, "~100–200 k files".
pub const SESSION_DISK_FILES: u64 = 200_000;

/// Directories of its code, the nearest ones, that an agent in a container may write into. Source: our choice: a project's own; each
/// costs a start some ten microseconds, and dependencies in a code zip have thousands.
pub const OWN_CODE_DIRECTORIES: usize = 128;

/// inotify instances of one sandbox. Source: our choice: a quarter of the 128 that Linux gives one user, whom all sandboxes of a server
/// share.
pub const INOTIFY_INSTANCES: u32 = 32;

/// Files and directories that one sandbox watches. Source: our choice: 8,192, what Linux gave one user until 5.11.
pub const INOTIFY_WATCHES: u32 = 8_192;

/// Sandboxes of one version that may wait for sessions. Source: our choice: what a host of 64 GiB holds of agents of common size.
pub const MAX_POOL_SIZE: u32 = 100;

/// A policy document, bytes. Source: model, `PutResourcePolicy.policy` 1..20480; the same for a principal's.
pub const MAX_POLICY_BYTES: usize = 20_480;

/// Statements of a policy document. Source: our choice: more than fit into one of common size.
pub const MAX_POLICY_STATEMENTS: usize = 250;

/// The longest text that policies are held against (an ARN, a tag), bytes; what is longer is denied. Source: model, role ARNs
/// 1..2048, the longest of all.
pub const MAX_POLICY_VALUE_BYTES: usize = 2048;

/// Tags of a request that policies are held against; with more it is denied. Source: model, `Tags` and `TagKeys` 0..50, and room
/// for the operation to say so itself.
pub const MAX_POLICY_TAGS: usize = 200;

/// Age at which a sandbox that waits for a session ends and is replaced. Source: our choice: what goes stale in an agent that does
/// nothing (a token that it fetched when it started, a resolved name) is a day old at most.
pub const POOL_MEMBER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The past that says how many sessions come. Source: our choice.
pub const POOL_WINDOW: Duration = Duration::from_secs(60);

/// The end of that past, of which a burst is seen at once. Source: our choice.
pub const POOL_BURST_WINDOW: Duration = Duration::from_secs(5);

/// Time without a new session after which a pool of adaptive size, or one that was asked for by hand, ends its members. Source: our
/// choice.
pub const POOL_QUIET: Duration = Duration::from_secs(10 * 60);

/// The same for a pool of a fixed size: somebody said how many, so that one a day is enough to keep it. Source: our choice.
pub const POOL_FIXED_QUIET: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that the start of a member waits for sessions that are starting. Source: our choice.
pub const POOL_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks at what pools use and what the host has left. Source: our choice.
pub const POOL_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The longest that who asks for members waits until it is known that an endpoint serves the version. Source: our choice; it is looked at
/// ten times a second where something changes.
pub const SERVED_SOON: Duration = Duration::from_secs(5);

/// Time from the first failure of a member to the next try; each further failure doubles it. Source: our choice.
pub const POOL_RETRY: Duration = Duration::from_secs(1);

/// The most that it grows to. Source: our choice.
pub const POOL_RETRY_MAX: Duration = Duration::from_secs(5 * 60);

/// What a member is taken to use before one was measured, bytes. Source: measured: a Python agent with a web framework.
pub const POOL_MEMBER_BYTES: u64 = 64 << 20;

/// The part of the host's memory, one in so many, that all pools together may use unless a setting says how much. Source: our choice.
pub const POOL_MEMORY_SHARE: u64 = 4;

/// The part of the host's memory, one in so many, that has to be available before pools take any, and below which they give some
/// back. Source: our choice.
pub const POOL_HOST_FLOOR: u64 = 10;

/// Interpreters that wait to fork, on one host; the one that forked the longest ago ends for another. Source: our choice: each keeps what
/// its agent imports in memory, some 50 MiB.
pub const MAX_ZYGOTES: usize = 16;

/// Time without a fork after which such an interpreter ends. Source: our choice, the default idle timeout of a session.
pub const ZYGOTE_IDLE: Duration = Duration::from_secs(15 * 60);

/// Time since its last fork in which no such interpreter ends for another version's. Source: our choice: what is wanted once a minute is
/// worth its place.
pub const ZYGOTE_KEPT: Duration = Duration::from_secs(60);

/// Time in which a version whose interpreter ended for another's gets none again: to import once costs as much as a plain start, and more
/// versions than there are places would have one another's ended in turn. Source: our choice.
pub const ZYGOTE_EVICTED: Duration = Duration::from_secs(5 * 60);

/// Time after which such an interpreter ends whatever it does, and with it one that no server knows any more. Source: our choice; three
/// times the longest default life of a session.
pub const ZYGOTE_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The longest id of a JSON-RPC request that errors repeat, bytes. Source: our choice; clients count, or send UUIDs.
pub const MAX_RPC_ID_BYTES: usize = 256;

/// MCP sessions of one sandbox whose own ids are known; the oldest goes. Source: our choice: clients that share a runtime session are
/// few.
pub const MAX_MCP_SESSIONS: usize = 64;

/// The longest id that an MCP server may give a session, bytes. Source: model, `McpSessionId`.
pub const MAX_MCP_SESSION_ID_BYTES: usize = 1024;
