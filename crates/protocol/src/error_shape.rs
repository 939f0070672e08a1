//! The one table from [`ErrorKind`] to status, exception name and body. Source: AgentCore developer guide and service model.

use innkeep_types::ErrorKind;
use serde::{Deserialize, Serialize};

/// The `reason` of a ValidationException.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the words are the API's own")]
pub enum ValidationReason {
    #[serde(rename = "CannotParse")]
    CannotParse,
    #[serde(rename = "FieldValidationFailed")]
    FieldValidationFailed,
    #[serde(rename = "IdempotentParameterMismatchException")]
    IdempotentParameterMismatch,
    #[serde(rename = "ResourceConflict")]
    ResourceConflict,
}

/// One field that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationField {
    /// The member's name, dotted from the top of the request.
    pub name: String,
    /// What it must be.
    pub message: String,
}

/// An error's JSON body. `message` always; the rest on ValidationException (`reason`, `fieldList`), and `logTail` (ours) on
/// agent failures, for keys with operator rights only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// What happened, for people.
    #[serde(default)]
    pub message: String,
    /// Which kind of rule was broken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ValidationReason>,
    /// Which of several failures of one status it was; of terminals only. Source: AgentCore developer guide, interactive shells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Which fields broke it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field_list: Vec<ValidationField>,
    /// The agent's last log lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_tail: Vec<String>,
}

/// Status and exception name of a kind of error, for runtimes that speak HTTP and for the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The HTTP status.
    pub status: u16,
    /// The value of `x-amzn-ErrorType`.
    pub exception: &'static str,
}

/// Returns how an error of `kind` looks on the wire.
pub fn shape(kind: ErrorKind) -> Shape {
    let (status, exception) = match kind {
        ErrorKind::Validation => (400, "ValidationException"),
        ErrorKind::Unauthorized => (401, "UnauthorizedException"),
        ErrorKind::AccessDenied => (403, "AccessDeniedException"),
        ErrorKind::NotFound => (404, "ResourceNotFoundException"),
        ErrorKind::NotAcceptable => (406, "ValidationException"),
        ErrorKind::Conflict => (409, "ConflictException"),
        ErrorKind::RetryableConflict => (409, "RetryableConflictException"),
        ErrorKind::Throttled => (429, "ThrottlingException"),
        ErrorKind::Quota => (402, "ServiceQuotaExceededException"),
        ErrorKind::Agent => (424, "RuntimeClientError"),
        // Untyped in the model; the troubleshooting page names the status. Source: AgentCore troubleshooting page.
        ErrorKind::AgentTimeout => (504, "GatewayTimeoutException"),
        ErrorKind::Unavailable => (503, "ServiceUnavailableException"),
        ErrorKind::Internal => (500, "InternalServerException"),
    };
    Shape { status, exception }
}
