//! What goes on the wire, kind by kind.

use serde_json::json;

use super::*;

const KINDS: [ErrorKind; 13] = [
    ErrorKind::Validation,
    ErrorKind::Unauthorized,
    ErrorKind::AccessDenied,
    ErrorKind::NotFound,
    ErrorKind::NotAcceptable,
    ErrorKind::Conflict,
    ErrorKind::RetryableConflict,
    ErrorKind::Throttled,
    ErrorKind::Quota,
    ErrorKind::Agent,
    ErrorKind::AgentTimeout,
    ErrorKind::Unavailable,
    ErrorKind::Internal,
];

fn wire(protocol: ServerProtocol, kind: ErrorKind) -> (u16, Value) {
    let body = ErrorBody { message: "what \"happened\"\nhere".to_owned(), ..ErrorBody::default() };
    let Envelope { status, content_type, body } = envelope(protocol, kind, &json!("r-1"), &body);
    let body = match content_type {
        "application/json" => &body[..],
        "text/event-stream" => body.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap(),
        other => panic!("{other}"),
    };
    assert!(!body.contains(&b'\n'), "one line, or it is no event");
    (status, serde_json::from_slice(body).unwrap())
}

#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    protocol: ServerProtocol,
    of: impl Fn(&Value) -> T,
    expect: impl Fn(ErrorKind) -> (u16, T),
) {
    for kind in KINDS {
        let (status, body) = wire(protocol, kind);
        assert_eq!((status, of(&body)), expect(kind), "{kind:?}");
    }
}

#[test]
fn mcp_is_json_rpc_and_mostly_200() {
    let code = |body: &Value| body["error"]["code"].as_i64().unwrap();
    check(ServerProtocol::Mcp, code, |kind| match kind {
        ErrorKind::Unauthorized => (401, -32001),
        ErrorKind::AccessDenied => (403, -32002),
        ErrorKind::Throttled | ErrorKind::Quota => (200, -32003),
        ErrorKind::NotFound => (200, -32004),
        ErrorKind::Conflict | ErrorKind::RetryableConflict => (200, -32005),
        ErrorKind::Validation => (200, -32006),
        ErrorKind::Agent => (200, -32010),
        ErrorKind::NotAcceptable => (406, -32011),
        ErrorKind::AgentTimeout | ErrorKind::Unavailable | ErrorKind::Internal => (200, -32603),
    });
    let (_, body) = wire(ServerProtocol::Mcp, ErrorKind::Agent);
    let message = "Tool execution error - Please check your CloudWatch logs for more information";
    let data = json!({"message": "what \"happened\"\nhere"});
    assert_eq!(
        body,
        json!({"jsonrpc": "2.0", "id": "r-1", "error": {"code": -32010, "message": message, "data": data}})
    );
}

#[test]
fn a2a_is_json_rpc_with_its_status_and_plain_for_who_may_not() {
    check(
        ServerProtocol::A2a,
        |body| body["error"]["code"].as_i64(),
        |kind| match kind {
            ErrorKind::Unauthorized => (401, None),
            ErrorKind::AccessDenied => (403, None),
            ErrorKind::NotFound => (404, Some(-32051)),
            ErrorKind::Validation => (400, Some(-32052)),
            ErrorKind::Throttled | ErrorKind::Quota => (429, Some(-32053)),
            ErrorKind::Conflict | ErrorKind::RetryableConflict => (409, Some(-32054)),
            ErrorKind::Agent => (424, Some(-32055)),
            _ => (500, Some(-32603)),
        },
    );
    let (_, body) = wire(ServerProtocol::A2a, ErrorKind::NotFound);
    assert_eq!(body["error"]["message"], "what \"happened\"\nhere");
    let (_, body) = wire(ServerProtocol::A2a, ErrorKind::AccessDenied);
    assert_eq!(body, json!({"message": "what \"happened\"\nhere"}));
}

#[test]
fn ag_ui_is_one_event() {
    check(
        ServerProtocol::AgUi,
        |body| body["code"].as_str().unwrap().to_owned(),
        |kind| {
            let (status, code) = match kind {
                ErrorKind::Unauthorized => (401, "UNAUTHORIZED"),
                ErrorKind::AccessDenied => (403, "ACCESS_DENIED"),
                ErrorKind::Validation => (400, "VALIDATION_ERROR"),
                ErrorKind::Throttled => (429, "RATE_LIMIT_EXCEEDED"),
                ErrorKind::Conflict | ErrorKind::RetryableConflict => (409, "SESSION_BUSY"),
                ErrorKind::Quota => (429, "SERVICE_QUOTA_EXCEEDED"),
                ErrorKind::Agent => (200, "AGENT_ERROR"),
                _ => (500, "INTERNAL_ERROR"),
            };
            (status, code.to_owned())
        },
    );
    let (_, body) = wire(ServerProtocol::AgUi, ErrorKind::Agent);
    assert_eq!(body, json!({"type": "RUN_ERROR", "code": "AGENT_ERROR", "message": "what \"happened\"\nhere"}));
}

#[test]
fn http_is_as_the_one_table_says() {
    check(ServerProtocol::Http, |body| body["message"].as_str().is_some(), |kind| (shape(kind).status, true));
}

#[test]
fn what_is_in_an_envelope_is_found_again() {
    let said = ErrorBody { message: "what happened".to_owned(), ..ErrorBody::default() };
    for protocol in ServerProtocol::ALL {
        for kind in KINDS {
            assert_eq!(open(&envelope(protocol, kind, &Value::Null, &said).body), said, "{protocol:?} {kind:?}");
        }
    }
    assert_eq!(open(br#"{"error":{"code":1,"message":"theirs"}}"#).message, "theirs");
    assert_eq!(open(b"no JSON"), ErrorBody::default());
}
