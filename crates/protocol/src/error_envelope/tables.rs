//! The three tables. Every kind has a line in each; what a contract does not name is its "any other".

use innkeep_types::ErrorKind;

/// A line of the table of MCP, whose messages are the contract's own.
pub(super) struct Mcp {
    pub(super) status: u16,
    pub(super) code: i32,
    pub(super) message: &'static str,
}

/// A line of the table of A2A.
pub(super) struct A2a {
    pub(super) status: u16,
    pub(super) code: i32,
}

/// A line of the table of AG-UI.
pub(super) struct AgUi {
    pub(super) status: u16,
    pub(super) code: &'static str,
}

/// JSON-RPC, for the most part as an HTTP success. Source: AgentCore developer guide, MCP protocol contract.
pub(super) fn mcp(kind: ErrorKind) -> Mcp {
    let (status, code, message) = match kind {
        ErrorKind::Unauthorized => (401, -32001, "Authentication error - Invalid credentials"),
        ErrorKind::AccessDenied => (403, -32002, "Authorization error - Insufficient permissions"),
        ErrorKind::Throttled | ErrorKind::Quota => (200, -32003, "Rate limit exceeded - Too many requests"),
        ErrorKind::NotFound => (200, -32004, "Resource not found - Requested resource does not exist"),
        ErrorKind::Conflict => (200, -32005, "Resource conflict - Resource already exists"),
        ErrorKind::RetryableConflict => (200, -32005, "Session operation in progress, please retry"),
        ErrorKind::Validation => (200, -32006, "Validation error - Invalid request data"),
        ErrorKind::Agent => {
            (200, -32010, "Tool execution error - Please check your CloudWatch logs for more information")
        }
        ErrorKind::NotAcceptable => (
            406,
            -32011,
            "Accept Header Error - MCP protocol requires Accept header: application/json, text/event-stream",
        ),
        ErrorKind::AgentTimeout | ErrorKind::Unavailable | ErrorKind::Internal => {
            (200, -32603, "Internal error - Server error")
        }
    };
    Mcp { status, code, message }
}

/// JSON-RPC with the status that it means; none where the contract has plain HTTP, as it has for who may not, and as clients need it to
/// find out where to get a token. Source: AgentCore developer guide, A2A protocol contract.
pub(super) fn a2a(kind: ErrorKind) -> Option<A2a> {
    let (status, code) = match kind {
        ErrorKind::Unauthorized | ErrorKind::AccessDenied => return None,
        ErrorKind::NotFound => (404, -32051),
        ErrorKind::Validation => (400, -32052),
        ErrorKind::Throttled | ErrorKind::Quota => (429, -32053),
        ErrorKind::Conflict | ErrorKind::RetryableConflict => (409, -32054),
        ErrorKind::Agent => (424, -32055),
        ErrorKind::NotAcceptable | ErrorKind::AgentTimeout | ErrorKind::Unavailable | ErrorKind::Internal => {
            (500, -32603)
        }
    };
    Some(A2a { status, code })
}

/// One event of a stream that ends with it. Source: AgentCore developer guide, AG-UI protocol contract.
pub(super) fn ag_ui(kind: ErrorKind) -> AgUi {
    let (status, code) = match kind {
        ErrorKind::Unauthorized => (401, "UNAUTHORIZED"),
        ErrorKind::AccessDenied => (403, "ACCESS_DENIED"),
        ErrorKind::Validation => (400, "VALIDATION_ERROR"),
        ErrorKind::Throttled => (429, "RATE_LIMIT_EXCEEDED"),
        ErrorKind::Conflict | ErrorKind::RetryableConflict => (409, "SESSION_BUSY"),
        ErrorKind::Quota => (429, "SERVICE_QUOTA_EXCEEDED"),
        // A run that began, and failed.
        ErrorKind::Agent => (200, "AGENT_ERROR"),
        ErrorKind::NotFound
        | ErrorKind::NotAcceptable
        | ErrorKind::AgentTimeout
        | ErrorKind::Unavailable
        | ErrorKind::Internal => (500, "INTERNAL_ERROR"),
    };
    AgUi { status, code }
}
