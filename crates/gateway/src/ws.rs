//! The WebSocket door to a session's agent: frames pass as they come, in both directions.
//!
//! ```text
//! handshake   what the caller says by ways that browsers leave him, and the answer
//! open        one InvokeAgentRuntimeWithWebSocketStream up to 101, a line per step
//! tunnel      what follows the 101: owns both connections, the lease and the deadlines
//! pipe        both directions, and how they end
//! flow        one direction: reads, follows the frames, writes
//! frames      what may be a frame
//! counts      what metrics say of it
//! ```

mod counts;
mod flow;
mod frames;
mod handshake;
mod open;
mod pipe;
mod tunnel;

pub use counts::{WebSocketCounts, WebSocketEnd};
pub use frames::{Follower, Next, Sender, Violation};
pub use tunnel::Tunnel;

pub(crate) use counts::Counters;
pub(crate) use handshake::Handshake;
pub(crate) use open::open;
