//! What a command fails with: an exit status, and words that say what happened, why, and what to do next.

use std::io;

use innkeep_sdk::Error;
use innkeep_types::ErrorKind;
use serde_json::{Value, json};

/// The exit statuses, each with the word that `--json` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// The reader of standard output went away: nothing failed.
    ReaderGone,
    /// What the command printed says it already.
    Shown,
    /// The program that was run ended with this status: it has said why itself.
    Program(u8),
    Failed,
    Usage,
    NotFound,
    NotAuthorised,
    AgentFailed,
    TimedOut,
    Unreachable,
    Throttled,
}

impl Code {
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::ReaderGone => 0,
            Self::Shown | Self::Failed => 1,
            Self::Program(status) => status,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::NotAuthorised => 4,
            Self::AgentFailed => 5,
            Self::TimedOut => 6,
            Self::Unreachable => 7,
            Self::Throttled => 8,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::ReaderGone => "reader_gone",
            Self::Shown | Self::Program(_) | Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::NotAuthorised => "not_authorised",
            Self::AgentFailed => "agent_failed",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Throttled => "throttled",
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// What happened.
    pub(crate) message: String,
    /// Why.
    pub(crate) cause: Option<String>,
    /// The agent's last log lines, oldest first.
    pub(crate) log_tail: Vec<String>,
    /// The next command to run.
    pub(crate) fix: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), cause: None, log_tail: Vec::new(), fix: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Code::Usage, message)
    }

    /// Returns a failure to do something with a file or folder of this machine.
    pub(crate) fn io(message: impl Into<String>, cause: &io::Error) -> Self {
        Self { cause: Some(cause.to_string()), ..Self::new(Code::Failed, message) }
    }

    #[must_use]
    pub(crate) fn with_fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// Returns the object that `--json` prints.
    pub(crate) fn to_json(&self) -> Value {
        let Self { code, message, cause, log_tail, fix } = self;
        json!({"error": {"code": code.as_str(), "message": message, "cause": cause, "log_tail": log_tail, "fix": fix}})
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::Timeout { .. } => Code::TimedOut,
            Error::Connect { .. } | Error::Tls { .. } | Error::Broken(_) => Code::Unreachable,
            Error::Url { .. } | Error::Ca { .. } => Code::Usage,
            _ => code_of(error.kind()),
        };
        let fix = match code {
            Code::Unreachable if matches!(error, Error::Tls { .. }) => Some(
                "name the file of the CA that signed the server's certificate in AWS_CA_BUNDLE (on its host `innkeep env` prints it), \
                 and use a --url with a name that the certificate is for",
            ),
            Code::Unreachable => Some("start a server with `innkeep serve`, or name another with --url"),
            Code::NotAuthorised => Some(
                "give a key that this server knows: --data-dir, --profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ),
            Code::Throttled => Some("try again in a moment; `innkeep sessions ls` shows what is running"),
            _ => None,
        };
        let mut failure = Self::new(code, error.to_string());
        failure.cause = root_cause(&error);
        failure.fix = fix.map(str::to_owned);
        // Only our own errors are worth looking up in the server's log.
        let internal = error.kind() == ErrorKind::Internal;
        if let Error::Service { request_id, log_tail, .. } = error {
            failure.log_tail = log_tail;
            failure.cause =
                request_id.filter(|_| internal).map(|id| format!("the server's log has more on request {id}"));
        }
        failure
    }
}

/// Returns what `error` comes from in the end, if that is another error.
pub(crate) fn root_cause(error: &dyn std::error::Error) -> Option<String> {
    let mut cause = error.source()?;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Some(cause.to_string())
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Unauthorized | ErrorKind::AccessDenied => Code::NotAuthorised,
        ErrorKind::Agent => Code::AgentFailed,
        ErrorKind::AgentTimeout => Code::TimedOut,
        ErrorKind::Throttled | ErrorKind::Quota | ErrorKind::Unavailable => Code::Throttled,
        ErrorKind::Validation
        | ErrorKind::NotAcceptable
        | ErrorKind::Conflict
        | ErrorKind::RetryableConflict
        | ErrorKind::Internal => Code::Failed,
    }
}
