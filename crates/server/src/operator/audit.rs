//! `GET audit`: who did what, oldest first, in pages.

use http::Response;
use innkeep_protocol::operator::audit::{AuditEntry, AuditPage};
use innkeep_store::AuditFilter;
use innkeep_types::{ErrorKind, UnixMillis};

use crate::operator::Operator;
use crate::operator::query::Query;
use crate::respond::{self, Body, Refused};

/// Events of a page when nobody says, and at most.
const DEFAULT_RESULTS: u32 = 100;
const MAX_RESULTS: u32 = 1000;

impl Operator {
    /// Lists events. A page's token leads to what was written after it.
    pub(crate) async fn read_audit(&self, query: &Query) -> Result<Response<Body>, Refused> {
        let invalid = |message: String| Refused::new(ErrorKind::Validation, message);
        let text = |name| query.get(name).map(str::to_owned);
        let filter = AuditFilter {
            since: query.parsed("sinceMs")?.map(UnixMillis),
            principal: text("principal"),
            action: text("action"),
            outcome: query.parsed("outcome")?,
        };
        let limit = query.parsed("maxResults")?.unwrap_or(DEFAULT_RESULTS);
        if !(1..=MAX_RESULTS).contains(&limit) {
            return Err(invalid(format!("maxResults must be from 1 to {MAX_RESULTS}, not {limit}")));
        }
        let after = match query.get("nextToken") {
            None => 0,
            Some(token) => read(token).ok_or_else(|| invalid("nextToken is none that a page had".to_owned()))?,
        };
        let found = self.store.list_audit(filter, after, limit).await.map_err(|e| Refused::internal(&e))?;
        let next_token = found.last().map(|(id, _)| format!("a{id:016x}"));
        let events = found.into_iter().map(|(_, event)| AuditEntry::from(event)).collect();
        Ok(respond::json(200, &AuditPage { events, next_token }))
    }
}

fn read(token: &str) -> Option<i64> {
    let digits = token.strip_prefix('a').filter(|digits| digits.len() == 16)?;
    i64::from_str_radix(digits, 16).ok().filter(|id| *id > 0)
}
