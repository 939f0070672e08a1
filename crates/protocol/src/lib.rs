//! Every byte that crosses a process boundary: API shapes, the error envelope, header names, the agent's `/ping`, the link
//! between host and sidecar, the operator API.
//!
//! Shapes, and how two of them differ: nothing here decides anything, and nothing here does IO.

pub mod agent_environment;
pub mod control;
pub mod diff;
pub mod error_envelope;
pub mod error_shape;
pub mod event_stream;
pub mod headers;
pub mod json_rpc;
pub mod link;
pub mod operator;
pub mod ping;
pub mod server_timing;
pub mod shell;
pub mod strict;
pub mod walls;
