//! Why a client gets no shell.

use innkeep_sandbox::exec;
use innkeep_types::{ErrorKind, InvalidId, ShellId};

/// Each is told apart by a word of its own. Source: AgentCore developer guide, which has 424 for all of them but the race.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Value at 'shellId' failed to satisfy constraint: {0}")]
    Id(#[source] InvalidId),
    #[error("the session has {0} shells, which is all that it may have: end one, or connect to it by its shellId")]
    Full(usize),
    #[error("shell '{0}' is being opened by another client at this moment: try again")]
    Busy(ShellId),
    #[error("shell '{0}' ended in the moment when it was to be connected to: try again")]
    Over(ShellId),
    #[error("no shell could be started in the session: {source}")]
    Start {
        #[source]
        source: exec::Error,
    },
}

impl Error {
    /// Returns whose fault it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Id(_) | Self::Full(_) => ErrorKind::Agent,
            Self::Busy(_) | Self::Over(_) => ErrorKind::Conflict,
            Self::Start { source } => source.kind(),
        }
    }

    /// Returns the word for it in the answer.
    pub(crate) fn word(&self) -> Option<&'static str> {
        match self {
            Self::Id(_) => Some("InvalidShellId"),
            Self::Full(_) => Some("ShellLimitExceeded"),
            Self::Start { source: exec::Error::NoShell } => Some("NoShell"),
            Self::Start { source } if source.kind() == ErrorKind::Agent => Some("ShellUnreachable"),
            Self::Busy(_) | Self::Over(_) | Self::Start { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: Error, kind: ErrorKind, word: Option<&str>) {
        assert_eq!((error.kind(), error.word()), (kind, word), "{error}");
    }

    #[test]
    fn each_is_told_apart() {
        let start = |source| Error::Start { source };
        let shell = || ShellId::parse("a").expect("a shell's id");
        check(Error::Id(ShellId::parse("-").expect_err("none")), ErrorKind::Agent, Some("InvalidShellId"));
        check(Error::Full(10), ErrorKind::Agent, Some("ShellLimitExceeded"));
        check(Error::Busy(shell()), ErrorKind::Conflict, None);
        check(Error::Over(shell()), ErrorKind::Conflict, None);
        check(start(exec::Error::NoShell), ErrorKind::Agent, Some("NoShell"));
        check(start(exec::Error::Program("no such file".to_owned())), ErrorKind::Agent, Some("ShellUnreachable"));
        check(start(exec::Error::Gone(None)), ErrorKind::Agent, Some("ShellUnreachable"));
        check(start(exec::Error::Busy), ErrorKind::Throttled, None);
        check(start(exec::Error::TooOld), ErrorKind::Conflict, None);
    }
}
