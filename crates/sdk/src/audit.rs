//! The operator API's audit log.

use http::Method;
use innkeep_protocol::operator::audit::AuditPage;
use innkeep_types::{AuditOutcome, UnixMillis};

use crate::client::{Call, Client, with_query};
use crate::error::Error;

/// Which events to list; what is none is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// At this time or later.
    pub since: Option<UnixMillis>,
    /// Of this principal, or with this access key.
    pub principal: Option<String>,
    /// Of this name.
    pub action: Option<String>,
    /// With this outcome.
    pub outcome: Option<AuditOutcome>,
}

impl Client {
    /// Returns a page of the audit log, oldest first: what was written after the page that had the token `after`.
    pub async fn audit(&self, query: &AuditQuery, after: Option<&str>) -> Result<AuditPage, Error> {
        let since = query.since.map(|time| time.0.to_string());
        let target = with_query(
            "/innkeep/v1/audit",
            &[
                ("sinceMs", since.as_deref()),
                ("principal", query.principal.as_deref()),
                ("action", query.action.as_deref()),
                ("outcome", query.outcome.map(AuditOutcome::as_str)),
                ("maxResults", Some("1000")),
                ("nextToken", after),
            ],
        );
        self.json(Call::new(Method::GET, target)).await
    }
}
