//! The control plane: Create, Get, Update, Delete and List of agent runtimes.

use http::{HeaderValue, Method};
use innkeep_protocol::control::{
    AgentRuntimeAccepted, AgentRuntimeRequest, DeleteAgentRuntimeResponse, GetAgentRuntimeResponse,
    ListAgentRuntimesResponse,
};
use innkeep_protocol::headers;
use innkeep_types::{RuntimeId, RuntimeVersion, Settings};

use crate::client::{Call, Client, encode, with_query};
use crate::error::Error;

impl Client {
    /// Creates a runtime; its first version is booted once before it is READY. Without `settings` they are all default.
    pub async fn create_runtime(
        &self,
        request: &AgentRuntimeRequest,
        settings: Option<&Settings>,
    ) -> Result<AgentRuntimeAccepted, Error> {
        self.json(with_settings(Call::new(Method::PUT, "/runtimes/").json(request)?, settings)?).await
    }

    /// Replaces a runtime's configuration by a new version. Without `settings` those of the version before are kept.
    pub async fn update_runtime(
        &self,
        runtime: &RuntimeId,
        request: &AgentRuntimeRequest,
        settings: Option<&Settings>,
    ) -> Result<AgentRuntimeAccepted, Error> {
        let call = Call::new(Method::PUT, runtime_target(runtime, &[])).json(request)?;
        self.json(with_settings(call, settings)?).await
    }

    /// Returns a runtime as its newest version, or as `version`.
    pub async fn get_runtime(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<GetAgentRuntimeResponse, Error> {
        let version = version.map(|v| v.to_string());
        self.json(Call::new(Method::GET, runtime_target(runtime, &[("version", version.as_deref())]))).await
    }

    /// Deletes a runtime with all its versions, or one `version` of it.
    pub async fn delete_runtime(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<DeleteAgentRuntimeResponse, Error> {
        let version = version.map(|v| v.to_string());
        self.json(Call::new(Method::DELETE, runtime_target(runtime, &[("version", version.as_deref())]))).await
    }

    /// Returns one page of runtimes: the first, or the one that `next_token` names.
    pub async fn list_runtimes(&self, next_token: Option<&str>) -> Result<ListAgentRuntimesResponse, Error> {
        self.json(Call::new(Method::POST, with_query("/runtimes/", &[("nextToken", next_token)]))).await
    }
}

fn runtime_target(runtime: &RuntimeId, query: &[(&str, Option<&str>)]) -> String {
    with_query(&format!("/runtimes/{}/", encode(runtime.as_str())), query)
}

fn with_settings(mut call: Call, settings: Option<&Settings>) -> Result<Call, Error> {
    if let Some(settings) = settings {
        let json = serde_json::to_string(settings).map_err(Error::Encode)?;
        call.headers.insert(headers::SETTINGS, HeaderValue::try_from(json).map_err(|e| Error::Request(e.into()))?);
    }
    Ok(call)
}
