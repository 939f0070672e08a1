//! An invocation whose caller does not wait for its answer.
//!
//! ```text
//! running ──► done        the agent's answer is whole
//!    │  └───► failed      there is none, or it broke off; or the server ended
//!    └──────► cancelled   its caller, or an operator, wanted no more of it
//! ```

use serde::{Deserialize, Serialize};

use crate::ErrorKind;

/// How far it is. All but `Running` are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InvocationState {
    /// The agent has not finished its answer, or has not begun it.
    Running,
    /// The answer is whole.
    Done,
    /// There will be no whole answer.
    Failed,
    /// It was cancelled before its end.
    Cancelled,
}

impl InvocationState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// Returns the word used in headers, metrics and the operator API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The head of an agent's answer, as its caller gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationHead {
    /// The status, 200..=299.
    pub status: u16,
    /// Names in lower case, and values; in their order.
    pub headers: Vec<(String, String)>,
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvocationFailure {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// For any caller.
    pub message: String,
    /// The agent's last log lines, for operators.
    pub log_tail: Vec<String>,
}
