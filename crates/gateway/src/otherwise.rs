//! GET and DELETE where invocations are POSTed. MCP's clients send both: to listen, and to end a session. The contract has neither, and
//! MCP has an answer for servers that have neither, by which clients go on without. It is the same for every runtime, whether it is
//! there or not, so that nobody need be known. Source: MCP specification, "Listening for Messages from the Server", "Session Management".

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use innkeep_protocol::headers;
use innkeep_types::ErrorKind;

use crate::call::Caller;
use crate::stream::GatewayBody;

/// Invalid request, in the words of JSON-RPC.
const BODY: &str = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Method Not Allowed: invocations are POSTed. There is no stream to listen to, and sessions end by StopRuntimeSession, or when they are idle"}}"#;

pub(crate) fn refuse(caller: &Caller) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::whole(Bytes::from_static(BODY.as_bytes())));
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static("POST"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(headers::AMZN_ERROR_TYPE, HeaderValue::from_static("UnknownOperationException"));
    headers.insert(headers::ERROR_SOURCE, HeaderValue::from_static(ErrorKind::Validation.blame().as_str()));
    caller.identify(headers);
    response
}
