//! The WebSocket door to a session's agent: frames pass as they come, in both directions.
//!
//! ```text
//! handshake   what the caller says by ways that browsers leave him, and the answer
//! open        one InvokeAgentRuntimeWithWebSocketStream up to 101, a line per step
//! tunnel      what follows the 101: owns both connections, the lease and the deadlines
//! pipe        both directions, and how they end
//! flow        one direction: reads, follows the frames, writes
//! frames      what may be a frame
//! pulse       whether a client is still there
//! messages    what they say, where a WebSocket ends here
//! counts      what metrics say of it
//! ```

mod counts;
mod flow;
mod frames;
mod handshake;
pub(crate) mod messages;
mod open;
mod pipe;
mod pulse;
mod tunnel;

pub use counts::{WebSocketCounts, WebSocketEnd};
pub use frames::{Follower, Frame, Next, Sender, Violation};
pub use messages::{Assembler, Message};
pub use tunnel::Tunnel;

pub(crate) use counts::{Counters, Open};
pub(crate) use flow::Rules;
pub(crate) use frames::close as close_frame;
pub(crate) use handshake::Handshake;
pub(crate) use open::open;
pub(crate) use pipe::hang_up;
pub(crate) use pulse::{Due, PING, Pulse};
