//! GetAgentRuntime: one version of a runtime, the newest unless the query names one.

use http::request::Parts;
use innkeep_protocol::control::GetAgentRuntimeResponse;

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, wire};

impl Control {
    pub(crate) async fn get_agent_runtime(
        &self,
        runtime: &str,
        parts: &Parts,
    ) -> Result<GetAgentRuntimeResponse, Error> {
        let mut found = Violations::default();
        let target = validate::runtime_id(runtime, &mut found).zip(validate::version(&parts.uri, &mut found));
        let (runtime, version) = found.complete(target)?;
        match (self.inner.store.get_version(&runtime, version).await?, version) {
            (Some(record), _) => Ok(wire::agent_runtime(&self.arn(&runtime), record)),
            (None, None) => Err(innkeep_store::Error::NoRuntime(runtime).into()),
            (None, Some(version)) => Err(innkeep_store::Error::NoVersion(runtime, version).into()),
        }
    }
}
