//! GetAgentRuntimeEndpoint: which version an endpoint serves, and which it is to serve.

use innkeep_protocol::control::AgentRuntimeEndpoint;
use innkeep_types::EndpointName;

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
        if let Some(record) = store.get_endpoint(&runtime, &endpoint).await? {
            return Ok(wire::endpoint::shown(&self.arn(&runtime), record));
        }
        Err(match store.get_runtime(&runtime).await? {
            Some(_) => innkeep_store::Error::NoEndpoint(runtime, endpoint),
            None => innkeep_store::Error::NoRuntime(runtime),
        }
        .into())
    }
}
