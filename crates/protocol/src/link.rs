//! The link between host and sidecar: JSON datagrams over a SOCK_SEQPACKET unix socket, at most one descriptor each.
//!
//! ```text
//! host                                   sidecar (listens on <sandbox dir>/ctl.sock)
//!  │ ── Hello{protocol}                 ─►│
//!  │ ◄─ Hello{protocol, build, sandbox …} │   then, unasked, one State for where things stand
//!  │ ◄─ State(Starting|Listening|Healthy|…|Exited)
//!  │ ── Dial{id}                        ─►│
//!  │ ◄─ Dialled{id} + descriptor          │   or DialFailed{id}
//!  │ ── Bind{ends_at}                   ─►│   from protocol 2 on
//!  │ ◄─ Bound                             │
//!  │ ── Exec + a socket                 ─►│   from protocol 3 on; all else of that program is said there: see [`exec`]
//!  │ ── Stop{grace_ms}                  ─►│   SIGTERM, grace, SIGKILL; ends in State(Exited), then the socket closes
//! ```
//!
//! The newest host connection wins; an older one is closed. A newer server speaks to older sidecars: fields are only added,
//! unknown ones ignored, and [`PROTOCOL`] rises when that is not enough.

pub mod exec;

use std::collections::BTreeMap;
use std::path::PathBuf;

use innkeep_types::{AgentExit, HealthCheck, SandboxId, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::ping::Ping;
use crate::walls::Walls;

/// The version of this link. 2: a sandbox can be bound to a session that came after its start. 3: programs run beside the agent.
pub const PROTOCOL: u32 = 3;

/// The first version whose sidecars know [`ToSidecar::Bind`].
pub const BINDING_PROTOCOL: u32 = 2;

/// The first version whose sidecars know [`ToSidecar::Exec`].
pub const EXEC_PROTOCOL: u32 = 3;

/// The largest datagram either side sends or accepts, bytes.
pub const MAX_FRAME: usize = 32 * 1024;

/// How many of the agent's last log lines travel with its exit.
pub const LOG_TAIL_LINES: usize = 20;

/// A log line in a tail is cut to this many bytes.
pub const LOG_TAIL_LINE_BYTES: usize = 1000;

/// The longest [`LogLine`], bytes of the agent's output.
pub const LOG_LINE_BYTES: usize = 16 * 1024;

/// The control socket's name in the sandbox directory.
pub const SOCKET_FILE: &str = "ctl.sock";

/// [`SandboxFacts`] as JSON, in the sandbox directory, written by rename once the sidecar listens.
pub const STATE_FILE: &str = "state.json";

/// [`ExitFacts`] as JSON, in the sandbox directory, written by rename when the agent ends: a restarted server cannot wait()
/// for a process that is not its child.
pub const EXIT_FILE: &str = "exit.json";

/// The name of [`LaunchPlan::log_file`], in a directory that is named by the sandbox.
pub const LOG_FILE: &str = "agent.log";

/// [`LaunchPlan::log_file`] is rotated at this size, bytes; the part before it is kept once, with `.1` appended to the name.
pub const LOG_FILE_BYTES: u64 = 16 << 20;

/// What the launcher is told, as JSON on its standard input. One start of one sandbox; says nothing of any session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchPlan {
    /// [`PROTOCOL`] of the server that wrote it.
    pub protocol: u32,
    /// Which sandbox this is.
    pub sandbox: SandboxId,
    /// Its directory (0700), which holds socket and facts; the sidecar ends itself when it is gone.
    pub directory: PathBuf,
    /// Where the agent's output goes, one [`LogLine`] as JSON per line. Outlives the directory. Its parent exists and is this
    /// sandbox's alone.
    pub log_file: PathBuf,
    /// The agent's program and arguments; the program is an absolute path, of an image also a name that is looked for along `PATH`.
    pub argv: Vec<String>,
    /// The agent's whole environment; nothing is inherited.
    pub environment: BTreeMap<String, String>,
    /// The agent's working directory.
    pub working_directory: PathBuf,
    /// The port that the agent binds.
    pub port: u16,
    /// How readiness and health are found.
    pub health: HealthCheck,
    /// Milliseconds from start to the first good health answer.
    pub start_timeout_ms: u64,
    /// Milliseconds between health checks once ready.
    pub ping_interval_ms: u64,
    /// When the sidecar ends the sandbox even if no server is left to ask for it.
    pub ends_at: UnixMillis,
    /// Milliseconds from SIGTERM to SIGKILL when the sidecar ends the sandbox by itself.
    pub stop_grace_ms: u64,
    /// What separates the sandbox from the host; none with the process driver. Paths above are then, but for `directory` and
    /// `log_file`, those inside.
    #[serde(default)]
    pub walls: Option<Walls>,
}

/// The one line that a launcher prints, as JSON. Whatever failed, nothing is left running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LaunchAnswer {
    /// The agent runs and the sidecar listens.
    Started(SandboxFacts),
    /// The agent's program could not be started, in words for the deployer.
    AgentFailed(String),
    /// The sandbox itself could not be made.
    Failed(String),
}

/// What a launcher leaves in [`STATE_FILE`], and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxFacts {
    /// [`PROTOCOL`] of the sidecar.
    pub protocol: u32,
    /// Which sandbox this is.
    pub sandbox: SandboxId,
    /// The sidecar's process.
    pub pid: i32,
    /// The sidecar's start time, field 22 of `/proc/PID/stat`, clock ticks since boot: tells a re-used pid.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id` at the time.
    pub boot_id: String,
    /// What this host does worse than it should, for people.
    #[serde(default)]
    pub caveat: Option<String>,
    /// Whether the agent was forked.
    #[serde(default)]
    pub fork: Fork,
}

/// The one line that the maker of a nest prints, as JSON: a network and a user namespace for one sandbox inside of another one's
/// user namespace, which are there until its standard input ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NestAnswer {
    /// This process is in both of them.
    Made(i32),
    /// Why there are none.
    Failed(String),
}

/// Whether an agent was forked from an interpreter that had imported already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fork {
    /// Nobody asked for it.
    #[default]
    NotAsked,
    /// It was.
    Done,
    /// It could not be, and was started as a program; why, for people.
    Failed(String),
}

/// How the agent ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitFacts {
    /// Exit code or signal.
    pub exit: AgentExit,
    /// Why the sidecar ended it, if it did.
    pub cause: ExitCause,
    /// With [`ExitCause::NotReady`]: what [`AgentState::NotReady`] said, which a host that looks late never sees.
    #[serde(default)]
    pub detail: Option<String>,
    /// When.
    pub at: UnixMillis,
    /// The agent's last log lines, oldest first; at most [`LOG_TAIL_LINES`].
    pub log_tail: Vec<String>,
}

/// Who ended the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExitCause {
    /// It ended by itself, or somebody else killed it.
    Itself,
    /// A server asked for it.
    Stopped,
    /// `ends_at` passed.
    Deadline,
    /// It was not ready within the start timeout.
    NotReady,
    /// The kernel killed it because the sandbox was out of memory. Only the host can tell, from the control group.
    OutOfMemory,
}

/// Host to sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "camelCase")]
pub enum ToSidecar {
    /// First message of a connection.
    Hello {
        /// [`PROTOCOL`] of the host.
        protocol: u32,
    },
    /// Connect to the agent and send the socket out.
    Dial {
        /// Repeated in the answer.
        id: u64,
        /// Another port than the one that it serves on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// The sandbox, which waited for one, is a session's from now on. At most one goes unanswered.
    Bind {
        /// When the sidecar ends the sandbox by itself, instead of [`LaunchPlan::ends_at`].
        ends_at: UnixMillis,
    },
    /// Start a program beside the agent. The datagram carries the socket over which all else of it is said: see [`exec`].
    Exec,
    /// End the agent and all that it started, then the sidecar.
    Stop {
        /// Milliseconds from SIGTERM to SIGKILL; 0 kills at once.
        grace_ms: u64,
    },
}

/// Sidecar to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "camelCase")]
pub enum ToHost {
    /// Answer to Hello.
    Hello {
        /// [`PROTOCOL`] of the sidecar.
        protocol: u32,
        /// The sidecar's package version.
        build: String,
        /// Which sandbox this is.
        sandbox: SandboxId,
        /// The agent's process, as the sidecar sees it.
        agent_pid: i32,
    },
    /// Where things stand; sent after Hello and at every change.
    State(AgentState),
    /// The datagram carries the connected socket.
    Dialled {
        /// Of the Dial.
        id: u64,
        /// The port on loopback that it leads to: the one asked for, the agent's own, or the one that the agent was given instead.
        port: u16,
    },
    /// The agent's port could not be reached.
    DialFailed {
        /// Of the Dial.
        id: u64,
        /// Why, for people.
        error: String,
    },
    /// Answer to Bind: what it said holds.
    Bound,
}

/// The agent as the sidecar sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AgentState {
    /// Started, no good health answer yet.
    Starting,
    /// It has bound its port; no good health answer yet. Left out where its binds are not seen, and when the answer is as quick.
    Listening,
    /// The first good answer, and every later one that differs from the one before. Requests may be sent.
    Healthy(Ping),
    /// So many checks in a row went unanswered or were answered badly; repeated at every further miss.
    Missed {
        /// How many.
        misses: u32,
        /// What the last one saw, for people.
        detail: String,
    },
    /// Not ready within the start timeout, or will never be (`/ping` is a 404, 405 or 501); the agent is being ended.
    NotReady {
        /// What the checks saw, for people, with what to do next.
        detail: String,
    },
    /// The agent's process ended. Last message of a link.
    Exited(ExitFacts),
}

/// One line of the agent's output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the sidecar read it, milliseconds since the epoch.
    pub t: UnixMillis,
    /// `o` standard output, `e` standard error.
    pub s: LogStream,
    /// The line without its end; bytes that are no UTF-8 are replaced; what is beyond [`LOG_LINE_BYTES`] follows as another line.
    pub m: String,
}

/// Which of the agent's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStream {
    /// Standard output.
    #[serde(rename = "o")]
    Stdout,
    /// Standard error.
    #[serde(rename = "e")]
    Stderr,
}
