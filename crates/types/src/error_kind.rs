//! Who is to blame for an error: the one closed set that every public error maps to.

use serde::{Deserialize, Serialize};

/// What went wrong, in the terms that decide status, retry and metric label. Each kind has exactly one blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// The caller sent something that breaks a rule of the contract.
    Validation,
    /// The caller's bearer token is missing or bad.
    Unauthorized,
    /// The caller is known, or claims to be, and may not do this.
    AccessDenied,
    /// The thing named does not exist, or the caller may not know of it.
    NotFound,
    /// The caller does not accept what the protocol must send.
    NotAcceptable,
    /// The request contradicts the present state; repeating it will not help.
    Conflict,
    /// The request contradicts the present state, which is about to change; repeating it will help.
    RetryableConflict,
    /// Too many requests; slow down.
    Throttled,
    /// A quota of the account is used up.
    Quota,
    /// The agent's own code failed.
    Agent,
    /// The agent's own code did not answer in time.
    AgentTimeout,
    /// Innkeep cannot serve now (shutting down, out of some host resource).
    Unavailable,
    /// Innkeep has a defect or its host does.
    Internal,
}

/// Who has to act on an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The client that sent the request.
    Caller,
    /// The code that the user deployed.
    Agent,
    /// Innkeep or its host.
    Innkeep,
}

impl ErrorKind {
    /// Returns who has to act; the value of the `x-innkeep-error-source` header.
    pub fn blame(self) -> Blame {
        match self {
            Self::Agent | Self::AgentTimeout => Blame::Agent,
            Self::Unavailable | Self::Internal => Blame::Innkeep,
            _ => Blame::Caller,
        }
    }
}

impl Blame {
    /// Returns the word used in headers and metrics: `caller`, `agent` or `innkeep`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Agent => "agent",
            Self::Innkeep => "innkeep",
        }
    }
}
