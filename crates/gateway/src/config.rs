//! What the data plane is given by the server that has it.

use std::path::PathBuf;
use std::time::Duration;

use innkeep_auth::Owners;
use innkeep_sandbox::Registry;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{AccountId, Region, limits};

use crate::audit::Audit;
use crate::authenticate::Authenticator;
use crate::cors::Origin;
use crate::invocations::AsyncLimits;
use crate::issuers::Issuers;
use crate::resolve::Deploy;

/// What the data plane is made of.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds a closure, and keys")]
pub struct GatewayConfig {
    /// The only region whose runtimes are here.
    pub region: Region,
    /// The only account whose runtimes are here.
    pub account: AccountId,
    /// Verifies callers.
    pub authenticator: Authenticator,
    /// Whose tokens open runtimes.
    pub issuers: Issuers,
    /// What callers are told that they reach this server by, `https://agents.example.com`; none: what each of them asked for.
    pub public_url: Option<String>,
    /// Tells callers apart, for the sessions that are theirs.
    pub owners: Owners,
    /// Where it is told who did what.
    pub audit: Audit,
    /// Where runtimes are looked up.
    pub store: Store,
    /// Makes what is looked up startable.
    pub deploy: Deploy,
    /// The sessions.
    pub registry: Registry,
    /// Where large request bodies wait; must exist.
    pub spool_directory: PathBuf,
    /// Pages of these may call from browsers.
    pub cors_origins: Vec<Origin>,
    /// How large, how long, how often.
    pub limits: Limits,
    /// The same for invocations whose callers do not wait.
    pub async_limits: AsyncLimits,
    /// Where answers are kept for callers who do not wait.
    pub invocations_directory: PathBuf,
    /// Runs those invocations, and what shells run in.
    pub tasks: Tasks,
}

/// How large and how long a request may be, and how often there may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A request's body, and an answer's, bytes; default [`limits::MAX_BODY_BYTES`].
    pub max_body_bytes: u64,
    /// All spooled files together, bytes; default [`limits::SPOOL_TOTAL_BYTES`].
    pub spool_total_bytes: u64,
    /// All request bodies held in memory together, bytes; default [`limits::SPOOL_MEMORY_TOTAL_BYTES`].
    pub spool_memory_total_bytes: u64,
    /// The longest pause within a request's body; default [`limits::BODY_STALL_TIMEOUT`].
    pub body_stall_timeout: Duration,
    /// To the answer's head; default [`limits::SYNC_REQUEST_TIMEOUT`].
    pub sync_request_timeout: Duration,
    /// From the request's head to the answer's end; default [`limits::STREAM_TIMEOUT`].
    pub stream_timeout: Duration,
    /// How long a side of a WebSocket may take in nothing; default [`limits::WRITE_STALL_TIMEOUT`].
    pub write_stall_timeout: Duration,
    /// Terminals of one session; default [`limits::MAX_SHELLS_PER_SESSION`].
    pub max_shells_per_session: usize,
    /// What a terminal shows to who connects again, bytes; default [`limits::SHELL_REPLAY_BYTES`].
    pub shell_replay_bytes: usize,
    /// How long a terminal waits for a client; default [`limits::SHELL_DETACHED_TIMEOUT`].
    pub shell_detached_timeout: Duration,
    /// The payload of a WebSocket's frame, bytes; default [`limits::MAX_FRAME_BYTES`].
    pub max_frame_bytes: u64,
    /// Frames of one side of a WebSocket within a second; default [`limits::MAX_FRAMES_PER_SECOND`].
    pub max_frames_per_second: u32,
    /// What a command may write, bytes; default [`limits::MAX_COMMAND_OUTPUT_BYTES`].
    pub max_command_output_bytes: u64,
    /// Requests of all callers together, four seconds' worth at once; 0: no limit, the default.
    pub max_requests_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: limits::MAX_BODY_BYTES,
            spool_total_bytes: limits::SPOOL_TOTAL_BYTES,
            spool_memory_total_bytes: limits::SPOOL_MEMORY_TOTAL_BYTES,
            body_stall_timeout: limits::BODY_STALL_TIMEOUT,
            sync_request_timeout: limits::SYNC_REQUEST_TIMEOUT,
            stream_timeout: limits::STREAM_TIMEOUT,
            write_stall_timeout: limits::WRITE_STALL_TIMEOUT,
            max_shells_per_session: limits::MAX_SHELLS_PER_SESSION,
            shell_replay_bytes: limits::SHELL_REPLAY_BYTES,
            shell_detached_timeout: limits::SHELL_DETACHED_TIMEOUT,
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            max_frames_per_second: limits::MAX_FRAMES_PER_SECOND,
            max_command_output_bytes: limits::MAX_COMMAND_OUTPUT_BYTES,
            max_requests_per_second: 0,
        }
    }
}
