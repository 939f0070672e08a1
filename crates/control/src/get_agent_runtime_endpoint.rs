//! GetAgentRuntimeEndpoint: which version an endpoint serves, and which it is to serve.

use innkeep_protocol::control::AgentRuntimeEndpoint;
use innkeep_types::{EndpointName, RuntimeStatus};

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, wire};

impl Control {
    pub(crate) async fn get_agent_runtime_endpoint(
        &self,
        runtime: &str,
        endpoint: &str,
    ) -> Result<AgentRuntimeEndpoint, Error> {
        let mut found = Violations::default();
        let name = found.parsed("endpointName", EndpointName::parse(endpoint));
        let target = validate::runtime_id(runtime, &mut found).zip(name);
        let (runtime, endpoint) = found.complete(target)?;
        let store = &self.inner.store;
        let endpoints = store.list_endpoints(&runtime).await?;
        if endpoints.is_empty() {
            return Err(innkeep_store::Error::NoRuntime(runtime).into());
        }
        let Some(record) = endpoints.into_iter().find(|record| record.name == endpoint) else {
            return Err(Error::NoEndpoint { runtime, endpoint });
        };
        let failure_reason = match record.status {
            RuntimeStatus::CreateFailed | RuntimeStatus::UpdateFailed => {
                store.get_version(&runtime, Some(record.target)).await?.and_then(|version| version.failure_reason)
            }
            _ => None,
        };
        Ok(AgentRuntimeEndpoint { failure_reason, ..wire::endpoint(&self.arn(&runtime), record) })
    }
}
