//! ListAgentRuntimes: the newest version of every runtime, oldest runtime first.

use http::request::Parts;
use innkeep_protocol::control::ListAgentRuntimesResponse;
use innkeep_types::{RuntimeId, UnixMillis};

use crate::error::Error;
use crate::validate::Violations;
use crate::{Control, wire};

/// What page tokens of this list are bound to.
const LIST: &str = "runtimes";

impl Control {
    pub(crate) async fn list_agent_runtimes(&self, parts: &Parts) -> Result<ListAgentRuntimesResponse, Error> {
        let mut found = Violations::default();
        let pages = &self.inner.pages;
        let page = pages.page(LIST, &parts.uri, after, &mut found);
        let page = found.complete(page)?;
        let mut records = self.inner.store.list_runtimes(page.cursor.clone(), page.fetch()).await?;
        let next_token =
            pages.cut(LIST, &page, &mut records, |record| format!("{}_{}", record.created_at.0, record.runtime));
        let agent_runtimes =
            records.into_iter().map(|record| wire::item(&self.arn(&record.runtime.clone()), record)).collect();
        Ok(ListAgentRuntimesResponse { agent_runtimes, next_token })
    }
}

/// Reads a cursor: when the last runtime of the page before was created, and its id. It need not exist any more.
fn after(cursor: &str) -> Option<(UnixMillis, RuntimeId)> {
    let (created_at, runtime) = cursor.split_once('_')?;
    Some((UnixMillis(created_at.parse().ok()?), RuntimeId::parse(runtime).ok()?))
}
