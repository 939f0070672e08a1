//! The data plane: authenticates a request, finds its session, streams.
//!
//! [`invoke`] tells one InvokeAgentRuntime as a story, a line per step; each step has a file of its own. HTTP statuses appear
//! only in [`error`], from the one table of the protocol crate. Nothing here knows the control plane.

mod address;
mod alias;
mod answer;
mod audit;
mod authenticate;
mod authorize;
mod authorizer;
mod call;
mod card;
mod command;
mod config;
mod cors;
mod crossings;
mod deliver;
mod error;
mod forward;
mod gateway;
mod guards;
mod inbound;
mod invocations;
mod invoke;
mod issuers;
mod mcp;
mod metadata;
mod names;
mod otherwise;
mod payload;
mod rates;
mod recent;
mod resolve;
mod route;
mod rpc;
mod shells;
mod split;
mod spool;
mod stop;
mod stream;
mod target;
mod visitor;
mod ws;

pub use audit::{Audit, AuditSink};
pub use authenticate::{Authenticator, Claim, KeyLookup, Signer};
pub use config::{GatewayConfig, Limits};
pub use cors::{BadOrigin, Origin};
pub use crossings::{Crossings, Limit};
pub use gateway::Gateway;
pub use inbound::Inbound;
pub use invocations::read::ByOperatorToken;
pub use invocations::{AsyncLimits, InvocationCounts, InvocationView};
pub use issuers::{CertificateReader, Issuers, IssuersConfig, OwnIssuer};
pub use rates::CallerRate;
pub use recent::{Dropped, RecentRequest, RecentRequests};
pub use resolve::Deploy;
pub use route::{Door, Operation, Route, route};
pub use stream::{AnswerDeadline, GatewayBody, StreamError};
pub use ws::{Assembler, Follower, Frame, Message, Next, Sender, Tunnel, Violation, WebSocketCounts, WebSocketEnd};
