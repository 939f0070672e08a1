//! `/innkeep/v1/audit`, and the lines of `audit_file`: who did what.

use innkeep_types::{AuditEvent, AuditOutcome};
use serde::{Deserialize, Serialize};

/// A page of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// Oldest first.
    pub events: Vec<AuditEntry>,
    /// Leads to what comes after this page, also to what is yet to happen. None where the page is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When: RFC 3339.
    pub time: String,
    /// Who, if that was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The access key that signed, or was claimed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// What: an operation's name.
    pub action: String,
    /// On which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// About which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// What became of it.
    pub outcome: AuditOutcome,
    /// The exception that it was answered with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The Sid of the statement that denied it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// By which request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// From which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For how many events it stands.
    pub count: u64,
}

impl From<AuditEvent> for AuditEntry {
    fn from(event: AuditEvent) -> Self {
        Self {
            time: event.at.to_string(),
            principal: event.principal,
            access_key_id: event.access_key_id,
            action: event.action,
            resource: event.resource,
            session_id: event.session,
            outcome: event.outcome,
            error: event.error,
            statement: event.statement,
            request_id: event.request,
            source: event.source,
            count: event.count,
        }
    }
}
