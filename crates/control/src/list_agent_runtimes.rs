//! ListAgentRuntimes: the newest version of every runtime, oldest runtime first.

use http::request::Parts;
use innkeep_protocol::control::ListAgentRuntimesResponse;

use crate::error::Error;
use crate::validate::Violations;
use crate::{Control, page, wire};

/// What page tokens of this list are bound to.
const LIST: &str = "runtimes";

impl Control {
    pub(crate) async fn list_agent_runtimes(&self, parts: &Parts) -> Result<ListAgentRuntimesResponse, Error> {
        let mut found = Violations::default();
        let pages = &self.inner.pages;
        let page = pages.page(LIST, &parts.uri, page::after, &mut found);
        let page = found.complete(page)?;
        let mut records = self.inner.store.page_runtimes(page.cursor.clone(), page.fetch()).await?;
        let next_token =
            pages.cut(LIST, &page, &mut records, |record| page::created(record.created_at, &record.runtime));
        let agent_runtimes =
            records.into_iter().map(|record| wire::item(&self.arn(&record.runtime.clone()), record)).collect();
        Ok(ListAgentRuntimesResponse { agent_runtimes, next_token })
    }
}
