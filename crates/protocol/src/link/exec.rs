//! A program beside the agent: what host and sidecar say of it, over a socket of its own (SOCK_SEQPACKET, JSON datagrams), whose other
//! end went in with [`ToSidecar::Exec`](super::ToSidecar::Exec).
//!
//! ```text
//! host                                   sidecar
//!  │ ── Start{terminal} + descriptors   ─►│  lies in the socket before that is handed over
//!  │ ◄─ Started                           │  or Refused, and the end
//!  │ ── Resize                          ─►│
//!  │ ◄─ Exited                            │  nothing that it started is left
//! ```
//!
//! Once nothing more can come from the host, because it has shut the socket down, closed it or died, the program is killed with all
//! that it started. All descriptors are the host's own making, so that nothing in the sandbox decides how they behave.

use std::collections::BTreeMap;

use innkeep_types::AgentExit;
use serde::{Deserialize, Serialize};

/// The largest [`ExecPlan`] as JSON, bytes: a command of 64 KiB by contract, an environment of 4 KiB, escaped.
pub const MAX_EXEC_PLAN: u64 = 1 << 20;

/// A refusal's words are cut to this many bytes.
pub const REFUSAL_BYTES: usize = 1000;

/// What is run, as JSON in memory of its own: a command may be longer than a datagram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecPlan {
    /// What is run.
    pub program: ExecProgram,
    /// Its arguments, without its name.
    pub arguments: Vec<String>,
    /// Added to the agent's environment, or in place of what that has by the same name.
    pub environment: BTreeMap<String, String>,
}

/// Which program, as the sandbox knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExecProgram {
    /// The first that there is of bash and sh.
    Shell,
    /// A path, or a name that is looked for along the agent's `PATH`.
    Named(String),
}

/// Host to sidecar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", rename_all = "camelCase")]
pub enum ToExec {
    /// The first message. Its descriptors: the [`ExecPlan`], then the program's standard input, output and error; with a terminal, in
    /// place of those three, one socket for what is typed and shown.
    Start {
        /// Of the terminal that the program gets.
        #[serde(default)]
        terminal: Option<TerminalSize>,
    },
    /// The terminal has another size now.
    Resize(TerminalSize),
}

/// Characters that a terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Sidecar to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c", rename_all = "camelCase")]
pub enum FromExec {
    /// It runs.
    Started,
    /// It does not, and nothing of it is left.
    Refused(ExecRefusal),
    /// It has ended, and nothing that it started is left.
    Exited(AgentExit),
}

/// Why a program was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c", rename_all = "camelCase")]
pub enum ExecRefusal {
    /// There is neither bash nor sh.
    NoShell,
    /// It could not be executed; why, for people.
    Program(String),
    /// As many as may run at one time do already.
    Busy,
    /// The sandbox itself could not; why, for people.
    Failed(String),
}
