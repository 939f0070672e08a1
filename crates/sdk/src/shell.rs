//! InvokeAgentRuntimeCommandShell: a terminal beside an agent.

use std::time::Duration;

use http::HeaderMap;
use innkeep_protocol::headers;
use innkeep_protocol::shell::{FromShell, Size, ToShell};
use innkeep_types::{EndpointName, RuntimeId, SessionId, ShellId};

use crate::client::{Client, encode};
use crate::error::Error;
use crate::websocket::{Message, WebSocket};

/// What is asked for. What [`Shell::open`](Client::open_shell) does not find is opened.
#[derive(Debug, Clone)]
pub struct ShellRequest {
    /// Beside which agent.
    pub runtime: RuntimeId,
    /// By which endpoint.
    pub endpoint: EndpointName,
    /// In which session.
    pub session: SessionId,
    /// Which of its shells.
    pub shell: ShellId,
    /// Of the terminal, if it is opened.
    pub size: Option<Size>,
    /// What is run in it if it is opened, with its arguments; empty: a shell.
    pub command: Vec<String>,
    /// Further headers; with `Authorization` nothing is signed.
    pub headers: HeaderMap,
    /// To the server's agreement.
    pub timeout: Duration,
}

/// A shell that this client has. Dropping it leaves the shell, which lives on for a while.
#[derive(Debug)]
pub struct Shell {
    /// Its id, as the server has it.
    pub id: Option<ShellId>,
    socket: WebSocket,
}

/// What is heard of a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A message, to be read by [`FromShell::parse`].
    Message(Vec<u8>),
    /// The connection has ended: code and reason; 1006 if it broke.
    Close(u16, String),
}

impl Client {
    /// Connects to a shell, or opens it.
    ///
    /// # Errors
    /// As for [`Client::open_websocket`].
    pub async fn open_shell(&self, request: ShellRequest) -> Result<Shell, Error> {
        let ShellRequest { runtime, endpoint, session, shell, size, command, headers, timeout } = request;
        let mut target = self.session_target(&runtime, &endpoint, "ws/shells");
        target.push_str(&format!("&shellId={shell}"));
        if let Some(Size { width, height }) = size {
            target.push_str(&format!("&width={width}&height={height}"));
        }
        for part in &command {
            target.push_str(&format!("&command={}", encode(part)));
        }
        let socket = self.connect_websocket(target, &session, headers, timeout).await?;
        let id = socket.headers.get(headers::SHELL_ID).and_then(|id| id.to_str().ok());
        Ok(Shell { id: id.and_then(|id| ShellId::parse(id).ok()), socket })
    }
}

impl Shell {
    /// Says something to the shell.
    pub async fn say(&mut self, what: ToShell<'_>) -> Result<(), Error> {
        self.socket.send_bytes(&what.to_message()).await
    }

    /// Leaves the shell in good order.
    pub async fn leave(&mut self) -> Result<(), Error> {
        self.socket.close().await
    }

    /// Returns what is heard next.
    ///
    /// # Cancel safety
    /// Not safe only in that a ping may stay unanswered.
    pub async fn next(&mut self) -> Result<Heard, Error> {
        loop {
            match self.socket.next().await? {
                Message::Binary(message) => return Ok(Heard::Message(message)),
                Message::Close(code, reason) => return Ok(Heard::Close(code, reason)),
                Message::Ping(payload) => self.socket.pong(&payload).await?,
                Message::Text(_) => {}
            }
        }
    }
}

impl Heard {
    /// Returns what the shell says; none, if that cannot be read.
    pub fn said(&self) -> Option<FromShell<'_>> {
        match self {
            Self::Message(message) => FromShell::parse(message).ok(),
            Self::Close(..) => None,
        }
    }
}
