//! Why a session cannot be used, and whose fault that is.

use std::sync::Arc;
use std::time::Duration;

use innkeep_types::{AgentExit, ErrorKind, RuntimeId, SessionKey, Tier};

use crate::driver;
use crate::pool::PoolKey;
use crate::start::Failure;

/// Why a session could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The agent did not become ready.
    #[error("{message}")]
    StartFailed {
        /// For any caller, a whole sentence.
        message: String,
        /// How the agent ended, if it did.
        exit: Option<AgentExit>,
        /// Its last log lines, for operators.
        log_tail: Vec<String>,
    },
    /// Start or end of the session took longer than a request may wait, or a stop met a session that is starting or stopping.
    #[error("Session operation in progress, please retry")]
    Busy,
    /// No such session has a sandbox.
    #[error("no running session {0}")]
    NotRunning(SessionKey),
    /// Its runtime, or its endpoint, was deleted while the request waited.
    #[error("agent runtime {0}, or its endpoint, was deleted")]
    Deleted(RuntimeId),
    /// [`super::Limits::active_sessions`].
    #[error("maxVms limit exceeded: {0} sessions are active")]
    TooManySessions(usize),
    /// The same, of a runtime that has more than its share of them while others have some too.
    #[error(
        "maxVms limit exceeded: {all} sessions are active, {held} of them of this agent runtime; the last places are for \
         others"
    )]
    TooManyOfRuntime {
        /// Its sessions.
        held: usize,
        /// Those of all runtimes.
        all: usize,
    },
    /// [`super::Limits::starts_per_second`].
    #[error("too many new sessions per second; try again in {} s", whole_seconds(*.retry_after))]
    TooManyStarts {
        /// When this runtime may start the next one.
        retry_after: Duration,
    },
    /// [`super::Limits::memory_floor`].
    #[error("the server has no memory for new sessions at present; try again in {} s", whole_seconds(*.retry_after))]
    NoMemory {
        /// When it is worth to ask again.
        retry_after: Duration,
    },
    /// Less than two such floors, of a runtime that has more than its share of sessions while others have some too.
    #[error(
        "the server has little memory for new sessions at present: {all} are active, {held} of them of this agent runtime; the rest is \
         for others; try again in {} s", whole_seconds(*.retry_after)
    )]
    LastMemory {
        /// Its sessions.
        held: usize,
        /// Those of all runtimes.
        all: usize,
        /// When it is worth to ask again.
        retry_after: Duration,
    },
    /// The runtime demands stronger isolation than this server gives.
    #[error(
        "the agent runtime demands isolation {}, and this server gives {}; start the server with --isolation {} (`innkeep doctor` says \
         what this host lacks for it), or deploy the runtime with --set isolation={}",
        .demanded.as_str(), .given.as_str(), .demanded.as_str(), .given.as_str()
    )]
    TierTooWeak {
        /// The weakest that its settings allow.
        demanded: Tier,
        /// What the server's driver gives.
        given: Tier,
    },
    /// The host, or the driver, lacks what the agent needs. Nobody's defect, and what to do about it is the deployer's to know.
    #[error("{message}")]
    HostLacks {
        /// What, and what to do: whole sentences.
        message: String,
    },
    /// The version keeps sessions to those who started them, and this one is another's. Says nothing of whether it has a sandbox.
    #[error("The session belongs to another caller. Use a session id of your own")]
    NotOwner,
    /// The version keeps sessions to those who started them, and the caller's token names nobody.
    #[error(
        "The agent keeps each session to the caller who started it, and the token names none: it has neither a subject (sub) nor a \
         client (client_id)"
    )]
    Nameless,
    /// Whose the session was could not be looked up.
    #[error("could not look up whose the session is")]
    Record(#[source] innkeep_store::Error),
    /// Sandboxes of the version cannot wait for sessions.
    #[error("no sandboxes can be kept ready: {0}")]
    NoPool(&'static str),
    /// No endpoint serves the version, any more or yet.
    #[error("version {} of {} is not served by endpoint {} just now; try again", .0.version, .0.runtime, .0.endpoint)]
    NotServed(PoolKey),
    /// The server is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The driver failed for a reason of ours.
    #[error("could not start a sandbox")]
    Driver(#[source] Arc<driver::Error>),
}

impl Error {
    /// Returns whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::StartFailed { .. } => ErrorKind::Agent,
            Self::Busy | Self::NotServed(_) => ErrorKind::RetryableConflict,
            Self::NoPool(_) => ErrorKind::Validation,
            Self::NotRunning(_) | Self::Deleted(_) => ErrorKind::NotFound,
            Self::TooManySessions(_) | Self::TooManyOfRuntime { .. } => ErrorKind::Quota,
            Self::TooManyStarts { .. } | Self::NoMemory { .. } | Self::LastMemory { .. } => ErrorKind::Throttled,
            // The request is sound, and would be served by a server of that tier: it is the operator who has to act.
            Self::ShuttingDown | Self::TierTooWeak { .. } | Self::HostLacks { .. } => ErrorKind::Unavailable,
            Self::NotOwner | Self::Nameless => ErrorKind::AccessDenied,
            Self::Record(source) => source.kind(),
            Self::Driver(source) => source.kind(),
        }
    }

    /// Returns in how many seconds the same request may be let in, at least one, if that is known.
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyStarts { retry_after }
            | Self::NoMemory { retry_after }
            | Self::LastMemory { retry_after, .. } => Some(whole_seconds(*retry_after)),
            _ => None,
        }
    }

    pub(crate) fn from_failure(failure: Failure) -> Self {
        match failure.source {
            Some(source) if is_lack(&source) => Self::HostLacks { message: failure.message },
            Some(source) if source.kind() != ErrorKind::Agent => Self::Driver(source),
            _ => Self::StartFailed { message: failure.message, exit: failure.exit, log_tail: failure.log_tail },
        }
    }
}

/// Rounded up: who comes a moment too early comes in vain.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0 || time.is_zero())
}

fn is_lack(error: &driver::Error) -> bool {
    matches!(error, driver::Error::NoNetwork { .. } | driver::Error::NoImages { .. })
}
