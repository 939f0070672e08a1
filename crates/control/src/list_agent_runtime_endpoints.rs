//! ListAgentRuntimeEndpoints: the endpoints of a runtime, DEFAULT first.

use http::request::Parts;
use innkeep_protocol::control::ListAgentRuntimeEndpointsResponse;
use innkeep_types::EndpointName;

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, wire};

impl Control {
    pub(crate) async fn list_agent_runtime_endpoints(
        &self,
        runtime: &str,
        parts: &Parts,
    ) -> Result<ListAgentRuntimeEndpointsResponse, Error> {
        let mut found = Violations::default();
        let list = format!("endpoints/{runtime}");
        let pages = &self.inner.pages;
        let page = pages.page(&list, &parts.uri, |cursor| EndpointName::parse(cursor).ok(), &mut found);
        let target = validate::runtime_id(runtime, &mut found).zip(page);
        let (runtime, page) = found.complete(target)?;
        let mut records = self.inner.store.list_endpoints(&runtime).await?;
        if records.is_empty() {
            return Err(innkeep_store::Error::NoRuntime(runtime).into());
        }
        // A runtime has ten endpoints at most: they come all at once, and are paged here.
        if let Some(cursor) = &page.cursor {
            let seen = records.iter().position(|record| record.name == *cursor).map_or(0, |idx| idx + 1);
            records.drain(..seen);
        }
        let next_token = pages.cut(&list, &page, &mut records, |record| record.name.to_string());
        let arn = self.arn(&runtime);
        let runtime_endpoints = records.into_iter().map(|record| wire::endpoint(&arn, record)).collect();
        Ok(ListAgentRuntimeEndpointsResponse { runtime_endpoints, next_token })
    }
}
