//! How a client's connection to a shell ends, and what he is told. Source: AgentCore developer guide, interactive shells; RFC 6455, section
//! 7.4.1.

use innkeep_protocol::shell::{Exit, FromShell, REPLACED, Status};

use super::socket::Stop;
use crate::ws::{Violation, WebSocketEnd};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The client has closed. The shell stays.
    Left,
    /// He has gone without a word, or takes nothing. The shell stays.
    Gone,
    Stalled,
    Refused(Violation),
    SpeaksText,
    /// The shell's program has ended; none: with its sandbox, of which nothing is known.
    Exited(Option<Exit>),
    /// Another client has the shell now.
    Replaced,
    /// He has had it as long as he may. The shell stays.
    TooLong,
    /// The session was ended.
    SessionEnded(&'static str),
    /// Its sandbox ended by itself.
    SandboxDied(&'static str),
    Shutdown,
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Gone => Self::Gone,
            Stop::Stalled => Self::Stalled,
            Stop::Refused(violation) => Self::Refused(violation),
        }
    }
}

impl End {
    /// Returns code and reason of the close frame; none, where nobody would read it.
    pub(crate) fn close(&self) -> Option<(u16, String)> {
        let (code, reason) = match self {
            Self::Gone | Self::Stalled => return None,
            Self::Left => (1000, String::new()),
            Self::Refused(violation) => (violation.close_code(), violation.to_string()),
            Self::SpeaksText => (1003, "binary messages only, whose first byte is the channel".to_owned()),
            Self::Exited(Some(_)) => (1000, "the shell has ended".to_owned()),
            Self::Exited(None) => (1011, "the shell's sandbox is gone".to_owned()),
            Self::Replaced => (REPLACED, "another client is connected to this shell now".to_owned()),
            Self::TooLong => {
                (1008, "connected as long as a client may be; connect again with the same shellId".to_owned())
            }
            Self::SessionEnded(why) => (1001, format!("the session has ended: {why}")),
            Self::SandboxDied(why) => (1011, format!("the session's sandbox has ended: {why}")),
            Self::Shutdown => (1001, "the server is shutting down".to_owned()),
        };
        Some((code, reason))
    }

    /// Returns what is said before the close frame.
    pub(crate) fn last_message(&self) -> Option<FromShell<'static>> {
        let failed = |message: String| Some(FromShell::Status(Status::Failed { message }));
        match self {
            Self::Exited(Some(exit)) => Some(FromShell::Status(Status::Exited(*exit))),
            Self::Exited(None) => failed("the shell's sandbox is gone".to_owned()),
            Self::SandboxDied(why) => failed(format!("the session's sandbox has ended: {why}")),
            // Who hears that does not connect again by himself.
            Self::TooLong | Self::SessionEnded(_) => Some(FromShell::Close),
            _ => None,
        }
    }

    /// Returns the word for it in metrics.
    pub(crate) fn counted(&self) -> WebSocketEnd {
        match self {
            Self::Left | Self::Exited(Some(_)) => WebSocketEnd::Closed,
            Self::Gone => WebSocketEnd::ClientGone,
            Self::Stalled => WebSocketEnd::Stalled,
            Self::Refused(Violation::TooLong(_)) => WebSocketEnd::FrameSize,
            Self::Refused(Violation::TooMany) => WebSocketEnd::FrameRate,
            Self::Refused(_) | Self::SpeaksText => WebSocketEnd::Protocol,
            Self::Replaced => WebSocketEnd::Replaced,
            Self::TooLong => WebSocketEnd::TimeLimit,
            Self::SessionEnded(_) => WebSocketEnd::SessionEnded,
            Self::Exited(None) | Self::SandboxDied(_) => WebSocketEnd::AgentGone,
            Self::Shutdown => WebSocketEnd::Shutdown,
        }
    }
}
