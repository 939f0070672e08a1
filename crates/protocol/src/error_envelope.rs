//! How an error looks to a caller of a runtime that does not speak plain HTTP: one table per protocol, beside the one of
//! [`error_shape`](crate::error_shape). Source: AgentCore developer guide, protocol contracts.

mod tables;

use innkeep_types::{ErrorKind, ServerProtocol};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_shape::{ErrorBody, shape};
use tables::{a2a, ag_ui, mcp};

/// An error as it goes on the wire, but for its headers of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The HTTP status.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// Returns an error of `kind` in the words of `protocol`. `id` is that of the JSON-RPC request, `Null` where it has none or is
/// not known. JSON-RPC errors have all of `body` as their `data`: the contract's messages are the same for every error of a kind.
pub fn envelope(protocol: ServerProtocol, kind: ErrorKind, id: &Value, body: &ErrorBody) -> Envelope {
    match protocol {
        ServerProtocol::Http => plain(kind, body),
        ServerProtocol::Mcp => {
            let row = mcp(kind);
            json(row.status, &rpc(row.code, row.message, id, body))
        }
        ServerProtocol::A2a => match a2a(kind) {
            Some(row) => json(row.status, &rpc(row.code, &body.message, id, body)),
            None => plain(kind, body),
        },
        ServerProtocol::AgUi => {
            let row = ag_ui(kind);
            let event = RunError { r#type: "RUN_ERROR", code: row.code, message: &body.message };
            let event = serde_json::to_string(&event).unwrap_or_default();
            Envelope {
                status: row.status,
                content_type: "text/event-stream",
                body: format!("data: {event}\n\n").into_bytes(),
            }
        }
    }
}

/// Returns what an error says that came in any of these, as much of it as that tells.
pub fn open(body: &[u8]) -> ErrorBody {
    let json = body.strip_prefix(b"data: ").unwrap_or(body);
    match serde_json::from_slice(json) {
        Ok(Opened { error: OpenedError { data: Some(data), .. } }) => data,
        Ok(Opened { error: OpenedError { message, data: None } }) => ErrorBody { message, ..ErrorBody::default() },
        Err(_) => serde_json::from_slice(json).unwrap_or_default(),
    }
}

#[derive(Deserialize)]
struct Opened {
    error: OpenedError,
}

#[derive(Deserialize)]
struct OpenedError {
    message: String,
    #[serde(default)]
    data: Option<ErrorBody>,
}

#[derive(Serialize)]
struct Rpc<'a> {
    jsonrpc: &'static str,
    id: &'a Value,
    error: RpcError<'a>,
}

#[derive(Serialize)]
struct RpcError<'a> {
    code: i32,
    message: &'a str,
    data: &'a ErrorBody,
}

#[derive(Serialize)]
struct RunError<'a> {
    r#type: &'static str,
    code: &'static str,
    message: &'a str,
}

fn rpc<'a>(code: i32, message: &'a str, id: &'a Value, data: &'a ErrorBody) -> Rpc<'a> {
    Rpc { jsonrpc: "2.0", id, error: RpcError { code, message, data } }
}

fn plain(kind: ErrorKind, body: &ErrorBody) -> Envelope {
    json(shape(kind).status, body)
}

fn json(status: u16, body: &impl Serialize) -> Envelope {
    Envelope { status, content_type: "application/json", body: serde_json::to_vec(body).unwrap_or_default() }
}

#[cfg(test)]
mod tests;
