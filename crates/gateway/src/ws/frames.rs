//! Follows the frames of a WebSocket as they pass, and never holds more of one than its header. Source: RFC 6455, section 5.

/// Which end sent the bytes: a client's frames are masked, an agent's are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client.
    Client,
    /// An agent.
    Agent,
}

/// What a frame may not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Its payload is longer than so many bytes.
    #[error("frame exceeds {0} bytes")]
    TooLong(u64),
    /// It is of no kind that there is, or extended.
    #[error("reserved bits or opcode")]
    Reserved,
    /// It is masked and should not be, or the other way round.
    #[error("masking is wrong")]
    Masking,
    /// It controls, and is not whole or too long.
    #[error("control frame is fragmented or longer than 125 bytes")]
    Control,
    /// It continues nothing, or something else is to be continued.
    #[error("continuation does not fit")]
    Continuation,
    /// Its length is written longer than it has to be.
    #[error("length is not minimal")]
    Length,
    /// Its sender has closed.
    #[error("frame after close")]
    AfterClose,
    /// It is one too many.
    #[error("too many frames in one second")]
    TooMany,
}

impl Violation {
    /// Returns the close code for who sent it. Source: RFC 6455, section 7.4.1.
    pub fn close_code(self) -> u16 {
        match self {
            Self::TooLong(_) => 1009,
            Self::TooMany => 1008,
            _ => 1002,
        }
    }
}

/// What to do with the bytes that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// So many of them may pass; in them so many frames begin.
    Pass {
        /// How many bytes.
        bytes: usize,
        /// How many frames.
        frames: u32,
    },
    /// They begin a header: more have to come.
    Wait,
    /// The next one begins a frame that must not pass.
    Refuse(Violation),
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Follower {
    sender: Sender,
    max_payload: u64,
    /// Frames that may begin.
    allowance: u32,
    /// Of the frame that is passing, bytes to come.
    left: u64,
    /// Whether a message's first frame has passed, and its last has not.
    in_message: bool,
    closed: bool,
    /// Whether pongs begin what is looked at, and are not in its midst.
    sets_pongs_apart: bool,
}

/// Whether bytes begin with the answer to a ping of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// They do not.
    None,
    /// They may: more have to come.
    Partly,
    /// They do, and it is so many bytes.
    Whole(usize),
}

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PONG: u8 = 10;
const MAX_CONTROL: u64 = 125;

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// How many bytes it was.
    pub bytes: usize,
    /// What it is.
    pub opcode: u8,
    /// Whether its message ends with it.
    pub is_final: bool,
    /// What it carries, unmasked.
    pub payload: Vec<u8>,
}

/// A frame's header, complete.
#[derive(Debug, Clone, Copy)]
struct Header {
    bytes: usize,
    payload: u64,
    is_final: bool,
    opcode: u8,
}

impl Follower {
    /// Returns the follower of what `sender` sends, in frames of at most `max_payload` bytes.
    pub fn new(sender: Sender, max_payload: u64) -> Self {
        Self {
            sender,
            max_payload,
            allowance: u32::MAX,
            left: 0,
            in_message: false,
            closed: false,
            sets_pongs_apart: false,
        }
    }

    /// Lets so many frames begin, and no more until this is called again.
    pub fn allow(&mut self, frames: u32) {
        self.allowance = frames;
    }

    /// Lets no pong pass together with what is before it: so each can be looked at by [`Self::answer`].
    pub(crate) fn set_pongs_apart(&mut self) {
        self.sets_pongs_apart = true;
    }

    /// Tells whether the bytes that follow those which have passed begin with a pong of a client that says `ping`, for who keeps it to
    /// himself. It counts as a frame.
    pub(crate) fn answer(&mut self, bytes: &[u8], ping: &[u8]) -> Answer {
        if self.left > 0 || self.sender != Sender::Client {
            return Answer::None;
        }
        let Ok(Some(header)) = self.header(bytes) else { return Answer::None };
        if header.opcode != PONG || header.payload != ping.len() as u64 {
            return Answer::None;
        }
        let whole = header.bytes + ping.len();
        let (Some(frame), Some(mask)) = (bytes.get(..whole), bytes.get(2..6)) else { return Answer::Partly };
        let said = frame.iter().skip(header.bytes).zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        if !said.eq(ping.iter().copied()) {
            return Answer::None;
        }
        self.allowance = self.allowance.saturating_sub(1);
        Answer::Whole(whole)
    }

    /// Tells whether the bytes that have passed end with a frame: only there another frame may be put in.
    pub fn is_between_frames(&self) -> bool {
        self.left == 0
    }

    /// Tells whether a close frame has passed, whole.
    pub fn is_closed(&self) -> bool {
        self.closed && self.left == 0
    }

    /// Looks at the bytes that follow those which have passed.
    pub fn next(&mut self, bytes: &[u8]) -> Next {
        let (mut passed, mut frames) = (0, 0);
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            if self.left > 0 {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                passed += here;
                self.left -= u64::try_from(here).unwrap_or(self.left);
                continue;
            }
            match self.header(rest) {
                Ok(Some(header)) if self.sets_pongs_apart && header.opcode == PONG && passed > 0 => break,
                Ok(Some(header)) => {
                    self.allowance = self.allowance.saturating_sub(1);
                    self.begin(header);
                    passed += header.bytes;
                    frames += 1;
                }
                Err(violation) if passed == 0 => return Next::Refuse(violation),
                Ok(None) | Err(_) => break,
            }
        }
        if passed == 0 { Next::Wait } else { Next::Pass { bytes: passed, frames } }
    }

    /// Takes the whole frame that the bytes begin with, once it is there; for who reads frames and passes none on.
    ///
    /// # Errors
    /// What the frame may not be, as soon as its header says so.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Frame>, Violation> {
        let Some(header) = self.header(bytes)? else { return Ok(None) };
        let length = usize::try_from(header.payload).unwrap_or(usize::MAX);
        let end = header.bytes.saturating_add(length);
        let Some(body) = bytes.get(header.bytes..end) else { return Ok(None) };
        let mask = match self.sender {
            Sender::Client => bytes.get(..header.bytes).and_then(|head| head.last_chunk::<4>()).copied(),
            Sender::Agent => None,
        };
        let mask = mask.unwrap_or_default();
        let payload = body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        self.allowance = self.allowance.saturating_sub(1);
        self.begin(header);
        self.left = 0;
        Ok(Some(Frame { bytes: end, opcode: header.opcode, is_final: header.is_final, payload }))
    }

    fn begin(&mut self, Header { payload, is_final, opcode, .. }: Header) {
        self.left = payload;
        match opcode {
            CLOSE => self.closed = true,
            CONTINUATION..CLOSE => self.in_message = !is_final,
            _ => {}
        }
    }

    /// Returns the header that the bytes begin with, once it is complete.
    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0F);
        let (is_masked, short) = (second & 0x80 != 0, second & 0x7F);
        if self.closed {
            return Err(Violation::AfterClose);
        }
        if self.allowance == 0 {
            return Err(Violation::TooMany);
        }
        if first & 0x70 != 0 || matches!(opcode, 3..=7 | 11..) {
            return Err(Violation::Reserved);
        }
        if is_masked != (self.sender == Sender::Client) {
            return Err(Violation::Masking);
        }
        let Some((payload, extended)) = payload(short, rest)? else { return Ok(None) };
        if opcode >= CLOSE && (!is_final || payload > MAX_CONTROL) {
            return Err(Violation::Control);
        }
        if opcode < CLOSE && self.in_message != (opcode == CONTINUATION) {
            return Err(Violation::Continuation);
        }
        if payload > self.max_payload {
            return Err(Violation::TooLong(self.max_payload));
        }
        let mask = if is_masked { 4 } else { 0 };
        let header = Header { bytes: 2 + extended + mask, payload, is_final, opcode };
        Ok((bytes.len() >= header.bytes).then_some(header))
    }
}

/// Returns the payload's length, and of how many further bytes it was read; none if they are not all there.
fn payload(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, Violation> {
    let (payload, extended) = match short {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 2),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 8),
            None => return Ok(None),
        },
        short => return Ok(Some((u64::from(short), 0))),
    };
    let least = if extended == 2 { 126 } else { 1 << 16 };
    if payload < least { Err(Violation::Length) } else { Ok(Some((payload, extended))) }
}

/// Returns a close frame as we send it: to an agent masked, as every frame of a client's. Its key is no secret of ours, and zero.
/// `reason` is cut to what a control frame holds.
pub(crate) fn close(to: Sender, code: u16, reason: &str) -> Vec<u8> {
    let reason = reason.get(..reason.floor_char_boundary(123)).unwrap_or_default();
    let length = u8::try_from(2 + reason.len()).unwrap_or_default();
    let mut frame = vec![0x80 | CLOSE];
    match to {
        Sender::Client => frame.push(length),
        Sender::Agent => frame.extend([0x80 | length, 0, 0, 0, 0]),
    }
    frame.extend(code.to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame
}

#[cfg(test)]
mod tests;
