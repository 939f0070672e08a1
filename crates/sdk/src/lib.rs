//! The client half: signed requests to the control plane, the data plane and the operator API of one Innkeep server.
//!
//! Every call opens a connection of its own, and no call spawns a task: what a dropped future was doing, stops.

mod artifacts;
mod audit;
mod body;
mod client;
mod command;
mod connection;
mod control;
mod endpoints;
mod error;
mod invocations;
mod invoke;
mod keys;
mod lines;
mod logs;
mod operator;
mod shell;
#[cfg(test)]
mod tests;
mod transport;
mod websocket;

pub use artifacts::UploadKind;
pub use audit::AuditQuery;
pub use body::{Meter, Payload, Upload, sha256};
pub use client::{Client, Endpoint};
pub use command::{CommandEvent, CommandRequest, RunningCommand};
pub use connection::ResponseBody;
pub use control::Document;
pub use error::Error;
pub use innkeep_auth::sigv4::Credentials;
pub use invocations::Found;
pub use invoke::{Answer, Invocation};
pub use lines::LineBuffer;
pub use logs::{LogQuery, LogStream};
pub use operator::{Failure, SessionQuery};
pub use shell::{Heard, Shell, ShellRequest};
pub use websocket::{Message, WebSocket};
