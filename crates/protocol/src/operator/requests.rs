//! `/innkeep/v1/runtimes/{runtimeId}/requests`: what became of a runtime's last requests.

use serde::{Deserialize, Serialize};

/// The last requests of a runtime that were let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentList {
    /// The newest first.
    pub requests: Vec<RecentView>,
    /// How many were not kept because there were too many at one time, since the server started.
    pub missed: u64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecentView {
    /// Its `x-amzn-requestid`.
    pub request_id: String,
    /// What was asked for: an operation's name.
    pub operation: String,
    /// In which session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When its head was here: RFC 3339.
    pub at: String,
    /// From then to the head of its answer.
    pub answered_ms: u64,
    /// The answer's status.
    pub status: u16,
    /// Names of its headers that the agent did not get, in lower case.
    pub dropped_headers: Vec<String>,
    /// How many there were besides.
    pub more_dropped: u64,
}
