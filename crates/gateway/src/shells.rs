//! The door to a terminal beside a session's agent, which the server ends itself: what it prints is kept for who connects again.
//!
//! ```text
//! open        one InvokeAgentRuntimeCommandShell up to 101, a line per step
//! asked       what its query asks for
//! rooms       which shells there are
//! shell       one shell: owns terminal, ring and the client that has it
//! life        who has it, and when it ends without anybody
//! ring        what it printed last
//! attachment  what a shell and its client hold of each other
//! client      the client, from 101 to the close frame
//! socket      messages in and out
//! end         how it ends, and what the client is told
//! ```

mod asked;
mod attachment;
pub(crate) mod client;
mod end;
mod error;
mod life;
mod open;
mod program;
mod ring;
mod rooms;
mod shell;
mod socket;

pub(crate) use error::Error;
pub(crate) use open::open;
pub(crate) use rooms::Rooms;
