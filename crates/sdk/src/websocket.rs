//! InvokeAgentRuntimeWithWebSocketStream: messages to and from an agent. The client's half of RFC 6455, as far as a server needs it that
//! takes neither extensions nor subprotocols; a library would bring six crates for these lines.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use innkeep_protocol::headers;
use innkeep_types::{EndpointName, RuntimeId, SessionId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Call, Client};
use crate::error::Error;
use crate::invoke::session_value;

/// The longest message, bytes. Source: our choice; it is held in memory.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const FINAL: u8 = 0x80;

/// A WebSocket to an agent. Dropping it cuts the connection.
#[derive(Debug)]
pub struct WebSocket {
    /// The headers of the server's answer.
    pub headers: HeaderMap,
    io: TokioIo<Upgraded>,
    /// What has come and is not read yet.
    arrived: Vec<u8>,
    /// The message of which a part has come: what it is, and that.
    begun: Option<(u8, Vec<u8>)>,
}

/// What an agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// To be answered by [`WebSocket::pong`] with this.
    Ping(Vec<u8>),
    /// The last thing that it says: code and reason; 1005 if it gives none, 1006 if it went without a word.
    Close(u16, String),
}

impl Client {
    /// Opens a WebSocket to an agent. `headers` win over what this sets, but for the session; with `Authorization` nothing is signed.
    /// `timeout` is to the server's agreement.
    ///
    /// # Errors
    /// As for [`Client::invoke`]; [`Error::NoWebSocket`] if the server does not upgrade.
    pub async fn open_websocket(
        &self,
        runtime: &RuntimeId,
        endpoint: &EndpointName,
        session: &SessionId,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<WebSocket, Error> {
        self.connect_websocket(self.session_target(runtime, endpoint, "ws"), session, headers, timeout).await
    }

    pub(crate) async fn connect_websocket(
        &self,
        target: String,
        session: &SessionId,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<WebSocket, Error> {
        let mut key = [0; 16];
        fill(&mut key)?;
        let mut call = Call::new(Method::GET, target);
        call.headers = headers;
        call.headers.insert(headers::SESSION_ID, session_value(session)?);
        call.headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        call.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        call.headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::try_from(STANDARD.encode(key)).map_err(|error| Error::Request(error.into()))?;
        call.headers.insert(SEC_WEBSOCKET_KEY, key);
        call.timeout = timeout;
        let (headers, io) = self.upgrade(call).await?;
        Ok(WebSocket { headers, io: TokioIo::new(io), arrived: Vec::new(), begun: None })
    }
}

impl WebSocket {
    /// Sends one text message.
    pub async fn send(&mut self, text: &str) -> Result<(), Error> {
        self.write(TEXT, text.as_bytes()).await
    }

    /// Sends one message of bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write(BINARY, bytes).await
    }

    /// Answers a ping.
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.write(PONG, payload).await
    }

    /// Says that nothing more is sent; the agent's own close follows. Source: RFC 6455, section 7.4.1.
    pub async fn close(&mut self) -> Result<(), Error> {
        self.write(CLOSE, &1000_u16.to_be_bytes()).await
    }

    /// Returns what the agent says next.
    ///
    /// # Cancel safety
    /// Safe: what has come is kept.
    ///
    /// # Errors
    /// [`Error::WebSocket`] if what comes is no frame, or a message exceeds 16 MiB.
    pub async fn next(&mut self) -> Result<Message, Error> {
        loop {
            while let Some((first, payload)) = self.take_frame()? {
                if let Some(message) = self.assemble(first, payload)? {
                    return Ok(message);
                }
            }
            if !matches!(self.io.read_buf(&mut self.arrived).await, Ok(1..)) {
                return Ok(Message::Close(1006, String::new()));
            }
        }
    }

    /// Takes a whole frame from what has come: its first byte, and its payload.
    fn take_frame(&mut self) -> Result<Option<(u8, Vec<u8>)>, Error> {
        let [first, second, rest @ ..] = self.arrived.as_slice() else { return Ok(None) };
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(Error::WebSocket("the server sent what is no frame"));
        }
        let (extended, length) = match (second, rest) {
            (126, [a, b, ..]) => (2, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                let length = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (8, usize::try_from(length).unwrap_or(usize::MAX))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (0, usize::from(*short)),
        };
        if length > MAX_MESSAGE_BYTES {
            return Err(Error::WebSocket("the agent's message is longer than 16 MiB"));
        }
        let (first, begin) = (*first, 2 + extended);
        let Some(payload) = self.arrived.get(begin..begin + length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.arrived.drain(..begin + length);
        Ok(Some((first, payload)))
    }

    /// Returns the message that a frame completes.
    fn assemble(&mut self, first: u8, payload: Vec<u8>) -> Result<Option<Message>, Error> {
        match first & 0x0F {
            PING => return Ok(Some(Message::Ping(payload))),
            PONG => return Ok(None),
            CLOSE => {
                let close = payload.split_first_chunk().map(|(code, reason)| (u16::from_be_bytes(*code), reason));
                let (code, reason) = close.unwrap_or((1005, &[]));
                return Ok(Some(Message::Close(code, String::from_utf8_lossy(reason).into_owned())));
            }
            0 => match &mut self.begun {
                Some((_, begun)) if begun.len() + payload.len() <= MAX_MESSAGE_BYTES => begun.extend(payload),
                Some(_) => return Err(Error::WebSocket("the agent's message is longer than 16 MiB")),
                None => return Err(Error::WebSocket("the server sent what is no frame")),
            },
            kind => self.begun = Some((kind, payload)),
        }
        if first & FINAL == 0 {
            return Ok(None);
        }
        match self.begun.take() {
            Some((TEXT, text)) => match String::from_utf8(text) {
                Ok(text) => Ok(Some(Message::Text(text))),
                Err(_) => Err(Error::WebSocket("the agent's text is not UTF-8")),
            },
            Some((BINARY, bytes)) => Ok(Some(Message::Binary(bytes))),
            _ => Err(Error::WebSocket("the server sent what is no frame")),
        }
    }

    async fn write(&mut self, opcode: u8, payload: &[u8]) -> Result<(), Error> {
        let mut mask = [0; 4];
        fill(&mut mask)?;
        let frame = frame(opcode, mask, payload);
        self.io.write_all(&frame).await.map_err(|_| Error::WebSocket("the connection to the agent broke"))
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|_| Error::WebSocket("this system gives no random numbers"))
}

/// Returns a message in one frame.
fn frame(opcode: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | opcode];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..126), _) => frame.push(0x80 | short),
        (_, Ok(middle)) => {
            frame.push(0x80 | 126);
            frame.extend(middle.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_that_of_the_standards_example() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(frame(TEXT, [0x37, 0xfa, 0x21, 0x3d], b"Hello"), hello);
        assert_eq!(frame(BINARY, [0; 4], &[0; 256])[..4], [0x82, 0xFE, 1, 0]);
        assert_eq!(frame(BINARY, [0; 4], &[0; 65536])[..10], [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
