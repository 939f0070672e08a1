//! ListAgentRuntimeVersionsByCapacityProvider: none, for as long as no runtime can name a capacity provider.

use http::request::Parts;
use innkeep_protocol::control::ListAgentRuntimesResponse;
use innkeep_types::CapacityProviderId;

use crate::Control;
use crate::error::Error;
use crate::validate::Violations;

impl Control {
    pub(crate) async fn list_agent_runtime_versions_by_capacity_provider(
        &self,
        id: &str,
        parts: &Parts,
    ) -> Result<ListAgentRuntimesResponse, Error> {
        let mut found = Violations::default();
        // No page of it ever gave a token.
        let page = self.inner.pages.page(&format!("capacity-providers/{id}"), &parts.uri, |_| None::<()>, &mut found);
        let id = found.parsed("capacityProviderId", CapacityProviderId::parse(id));
        // Whether the provider exists is not asked: the operation has no error that says so.
        found.complete(id.zip(page))?;
        Ok(ListAgentRuntimesResponse { agent_runtimes: Vec::new(), next_token: None })
    }
}
