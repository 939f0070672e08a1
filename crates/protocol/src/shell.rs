//! What passes over a terminal's WebSocket: binary messages whose first byte names a channel, as Kubernetes' `v5.channel.k8s.io` has them.
//! Source: AgentCore developer guide, interactive shells; Kubernetes, `metav1.Status`.

use innkeep_types::ShellId;
use serde::{Deserialize, Serialize};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const HEARTBEAT: u8 = 5;
const CLOSE: u8 = 0xFF;

/// The close code for a client whose place another one took: it must not connect again by itself.
pub const REPLACED: u16 = 4000;

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToShell<'a> {
    /// Keys that were pressed, or what was pasted.
    Stdin(&'a [u8]),
    /// The terminal has another size.
    Resize(Size),
    /// To be echoed.
    Heartbeat,
    /// The shell shall end.
    Close,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromShell<'a> {
    /// What the terminal shows.
    Stdout(&'a [u8]),
    /// Words of the server's own.
    Stderr(&'a str),
    /// How it stands with the shell.
    Status(Status),
    /// The echo.
    Heartbeat,
    /// The server ends the shell.
    Close,
}

/// A terminal's size, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Columns; at least 1.
    pub width: u16,
    /// Rows; at least 1.
    pub height: u16,
}

/// How it stands with a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The client has it.
    Connected {
        /// Which one.
        shell: ShellId,
        /// Whether it was there before.
        reconnected: bool,
    },
    /// Its program has ended.
    Exited(Exit),
    /// The server, or the place where it runs, failed.
    Failed {
        /// How, in words.
        message: String,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal; as a code 128 more than that.
    Signal(i32),
}

impl Exit {
    /// Returns what a shell says of it: `$?`.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128_i32.saturating_add(signal),
        }
    }
}

/// Why a message says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is empty, or of a channel that is not its sender's: others may come to be, and are passed over.
    #[error("no message of a channel that is known")]
    Channel,
    /// What the channel carries is not that.
    #[error("a terminal's size is {{\"width\": columns, \"height\": rows}}, both from 1 to 65535")]
    Size,
    /// Nor here.
    #[error("a status that cannot be read")]
    Status,
    /// Nor here.
    #[error("words that are not UTF-8")]
    Words,
}

impl<'a> ToShell<'a> {
    /// Reads a client's message.
    ///
    /// # Errors
    /// [`Unreadable::Channel`], which is to be passed over, and [`Unreadable::Size`].
    pub fn parse(message: &'a [u8]) -> Result<Self, Unreadable> {
        let (channel, payload) = message.split_first().ok_or(Unreadable::Channel)?;
        match *channel {
            STDIN => Ok(Self::Stdin(payload)),
            RESIZE => Size::parse(payload).map(Self::Resize).ok_or(Unreadable::Size),
            HEARTBEAT => Ok(Self::Heartbeat),
            CLOSE => Ok(Self::Close),
            _ => Err(Unreadable::Channel),
        }
    }

    /// Returns the message.
    pub fn to_message(self) -> Vec<u8> {
        match self {
            Self::Stdin(keys) => message(STDIN, keys),
            Self::Resize(size) => message(RESIZE, &json(&size)),
            Self::Heartbeat => message(HEARTBEAT, &[]),
            Self::Close => message(CLOSE, &[]),
        }
    }
}

impl<'a> FromShell<'a> {
    /// Reads a server's message.
    ///
    /// # Errors
    /// [`Unreadable::Channel`], which is to be passed over, and what its channel does not carry.
    pub fn parse(message: &'a [u8]) -> Result<Self, Unreadable> {
        let (channel, payload) = message.split_first().ok_or(Unreadable::Channel)?;
        match *channel {
            STDOUT => Ok(Self::Stdout(payload)),
            STDERR => std::str::from_utf8(payload).map(Self::Stderr).map_err(|_| Unreadable::Words),
            STATUS => Status::parse(payload).map(Self::Status).ok_or(Unreadable::Status),
            HEARTBEAT => Ok(Self::Heartbeat),
            CLOSE => Ok(Self::Close),
            _ => Err(Unreadable::Channel),
        }
    }

    /// Returns the message.
    pub fn to_message(&self) -> Vec<u8> {
        match self {
            Self::Stdout(shown) => message(STDOUT, shown),
            Self::Stderr(words) => message(STDERR, words.as_bytes()),
            Self::Status(status) => message(STATUS, &json(&Wire::from(status))),
            Self::Heartbeat => message(HEARTBEAT, &[]),
            Self::Close => message(CLOSE, &[]),
        }
    }
}

impl Size {
    fn parse(payload: &[u8]) -> Option<Self> {
        let size: Self = serde_json::from_slice(payload).ok()?;
        (size.width > 0 && size.height > 0).then_some(size)
    }
}

fn message(channel: u8, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1 + payload.len());
    message.push(channel);
    message.extend_from_slice(payload);
    message
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// A status as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    kind: String,
    api_version: String,
    #[serde(default)]
    metadata: Metadata,
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shell_id: Option<ShellId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reconnected: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Details {
    #[serde(default)]
    causes: Vec<Cause>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Cause {
    reason: String,
    message: String,
}

const SUCCESS: &str = "Success";
const EXIT_CODE: &str = "ExitCode";
const SIGNAL: &str = "Signal";

impl From<&Status> for Wire {
    fn from(status: &Status) -> Self {
        let mut wire = Self {
            kind: "Status".to_owned(),
            api_version: "v1".to_owned(),
            metadata: Metadata::default(),
            status: SUCCESS.to_owned(),
            reason: None,
            message: None,
            details: None,
            code: None,
        };
        match status {
            Status::Connected { shell, reconnected } => {
                wire.metadata = Metadata { shell_id: Some(shell.clone()), reconnected: Some(*reconnected) };
            }
            Status::Exited(Exit::Code(0)) => {}
            Status::Exited(exit) => {
                let cause = |reason: &str, n: i32| Cause { reason: reason.to_owned(), message: n.to_string() };
                let mut causes = vec![cause(EXIT_CODE, exit.code())];
                if let Exit::Signal(signal) = exit {
                    causes.push(cause(SIGNAL, *signal));
                }
                wire.status = "Failure".to_owned();
                wire.reason = Some("NonZeroExitCode".to_owned());
                wire.message = Some(format!("command terminated with exit code {}", exit.code()));
                wire.details = Some(Details { causes });
            }
            Status::Failed { message } => {
                wire.status = "Failure".to_owned();
                wire.reason = Some("InternalError".to_owned());
                wire.message = Some(message.clone());
                wire.code = Some(500);
            }
        }
        wire
    }
}

impl Status {
    fn parse(payload: &[u8]) -> Option<Self> {
        let wire: Wire = serde_json::from_slice(payload).ok()?;
        if let Some(shell) = wire.metadata.shell_id {
            return Some(Self::Connected { shell, reconnected: wire.metadata.reconnected.unwrap_or(false) });
        }
        if wire.status == SUCCESS {
            return Some(Self::Exited(Exit::Code(0)));
        }
        let causes = wire.details.map(|details| details.causes).unwrap_or_default();
        let number = |reason: &str| causes.iter().find(|cause| cause.reason == reason)?.message.parse().ok();
        Some(match (number(SIGNAL), number(EXIT_CODE)) {
            (Some(signal), Some(_)) => Self::Exited(Exit::Signal(signal)),
            (None, Some(code)) => Self::Exited(Exit::Code(code)),
            _ => Self::Failed { message: wire.message.unwrap_or_default() },
        })
    }
}

#[cfg(test)]
mod tests;
