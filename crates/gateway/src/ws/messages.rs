//! Messages out of a client's frames, for a WebSocket that ends here: holds no more than one message and one frame. Source: RFC 6455,
//! sections 5.4 to 5.6.

use super::frames::{CLOSE, CONTINUATION, Follower, Frame, PONG, Sender, Violation};

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const PING: u8 = 9;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text, of which nothing is kept.
    Text,
    /// Bytes.
    Binary(Vec<u8>),
    /// To be answered with a pong that carries the same.
    Ping(Vec<u8>),
    /// Nothing.
    Pong,
    /// That it says nothing more.
    Close,
}

/// Puts messages together.
#[derive(Debug)]
pub struct Assembler {
    follower: Follower,
    /// The most that a message may carry, bytes.
    max_payload: usize,
    /// What has arrived of frames that are not whole.
    arrived: Vec<u8>,
    /// What has come of a message that is not whole: its kind, and how much of it.
    begun: Option<(u8, Vec<u8>)>,
}

impl Assembler {
    /// Returns one for messages, and frames, that carry at most so many bytes.
    pub fn new(max_payload: u64) -> Self {
        Self {
            follower: Follower::new(Sender::Client, max_payload),
            max_payload: usize::try_from(max_payload).unwrap_or(usize::MAX),
            arrived: Vec::new(),
            begun: None,
        }
    }

    /// Lets so many frames begin, and no more until this is called again.
    pub fn allow(&mut self, frames: u32) {
        self.follower.allow(frames);
    }

    /// Adds what has arrived. To be called once there is no [`Self::take`].
    pub fn add(&mut self, bytes: &[u8]) {
        self.arrived.extend_from_slice(bytes);
    }

    /// Returns the next whole message.
    ///
    /// # Errors
    /// What the frame that comes next may not be. Nothing can be read after it.
    pub fn take(&mut self) -> Result<Option<Message>, Violation> {
        while let Some(frame) = self.follower.take(&self.arrived)? {
            self.arrived.drain(..frame.bytes);
            if let Some(message) = self.assemble(frame)? {
                return Ok(Some(message));
            }
        }
        if self.arrived.is_empty() {
            self.arrived = Vec::new();
        }
        Ok(None)
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.arrived.len() + self.begun.as_ref().map_or(0, |(_, begun)| begun.len())
    }

    fn assemble(&mut self, Frame { opcode, is_final, payload, .. }: Frame) -> Result<Option<Message>, Violation> {
        match opcode {
            CLOSE => return Ok(Some(Message::Close)),
            PING => return Ok(Some(Message::Ping(payload))),
            PONG => return Ok(Some(Message::Pong)),
            CONTINUATION => {}
            // Only a continuation follows what is begun: the follower has seen to that.
            kind => self.begun = Some((kind, Vec::new())),
        }
        let Some((kind, begun)) = &mut self.begun else { return Err(Violation::Continuation) };
        if *kind != TEXT {
            if begun.len().saturating_add(payload.len()) > self.max_payload {
                return Err(Violation::TooLong(self.max_payload as u64));
            }
            begun.extend_from_slice(&payload);
        }
        if !is_final {
            return Ok(None);
        }
        let whole = self.begun.take();
        Ok(whole.map(|(kind, bytes)| if kind == TEXT { Message::Text } else { Message::Binary(bytes) }))
    }
}

/// Returns a server's message of bytes, in one frame.
pub(crate) fn binary(payload: &[u8]) -> Vec<u8> {
    frame(BINARY, payload)
}

/// Returns the answer to a ping.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    frame(PONG, payload)
}

/// Returns a ping.
pub(crate) fn ping(payload: &[u8]) -> Vec<u8> {
    frame(PING, payload)
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(10 + payload.len());
    frame.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short @ 0..126), _) => frame.push(short),
        (_, Ok(middle)) => {
            frame.push(126);
            frame.extend(middle.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests;
