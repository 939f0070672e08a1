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
        let mut records = self.inner.store.page_endpoints(&runtime, page.cursor.clone(), page.fetch()).await?;
        // A runtime has DEFAULT as long as it lives, but a page after the last endpoint is empty too.
        if records.is_empty() && self.inner.store.get_runtime(&runtime).await?.is_none() {
            return Err(innkeep_store::Error::NoRuntime(runtime).into());
        }
        let next_token = pages.cut(&list, &page, &mut records, |record| record.name.to_string());
        let arn = self.arn(&runtime);
        let runtime_endpoints = records.into_iter().map(|record| wire::endpoint::item(&arn, record)).collect();
        Ok(ListAgentRuntimeEndpointsResponse { runtime_endpoints, next_token })
    }
}
