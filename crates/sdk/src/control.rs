//! The control plane: Create, Get, Update, Delete and List of agent runtimes.

use http::{HeaderValue, Method};
use innkeep_protocol::control::{
    AgentRuntime, AgentRuntimeAccepted, DeleteAgentRuntimeResponse, GetAgentRuntimeResponse,
};
use innkeep_protocol::headers;
use innkeep_types::{RuntimeId, RuntimeVersion, Settings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::client::{Call, Client, encode, with_query};
use crate::error::Error;

/// The most that one page of a list has. Source: service model, `maxResults`.
const PAGE: &str = "100";

/// A body of the API with every member that the server, or the caller, gives it, also those that this crate has no name for.
pub type Document = Map<String, Value>;

impl Client {
    /// Creates a runtime; its first version is booted once before it is READY. Without `settings` they are all default.
    pub async fn create_runtime(
        &self,
        request: &impl Serialize,
        settings: Option<&Settings>,
    ) -> Result<AgentRuntimeAccepted, Error> {
        self.json(with_settings(Call::new(Method::PUT, "/runtimes/").json(request)?, settings)?).await
    }

    /// Replaces a runtime's configuration by a new version. Without `settings` those of the version before are kept.
    pub async fn update_runtime(
        &self,
        runtime: &RuntimeId,
        request: &impl Serialize,
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

    /// Returns a runtime as its newest version, or as `version`, with every member that the server gives it.
    pub async fn runtime_document(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<Document, Error> {
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

    /// Returns all runtimes, each as its newest version.
    pub async fn list_runtimes(&self) -> Result<Vec<AgentRuntime>, Error> {
        self.every("agentRuntimes", "/runtimes/").await
    }

    /// Returns all versions of a runtime.
    pub async fn list_versions(&self, runtime: &RuntimeId) -> Result<Vec<AgentRuntime>, Error> {
        let target = format!("{}versions/", runtime_target(runtime, &[]));
        self.every("agentRuntimes", &target).await
    }

    /// Returns every item of a list of the control plane, page by page; `member` is the list's name in the answer.
    pub(crate) async fn every<T: DeserializeOwned>(&self, member: &str, target: &str) -> Result<Vec<T>, Error> {
        let (mut all, mut next) = (Vec::new(), None::<String>);
        loop {
            let query = [("maxResults", Some(PAGE)), ("nextToken", next.as_deref())];
            let mut page: Document = self.json(Call::new(Method::POST, with_query(target, &query))).await?;
            let items = page.remove(member).unwrap_or_default();
            all.extend(serde_json::from_value::<Vec<T>>(items).map_err(Error::Decode)?);
            match page.remove("nextToken") {
                Some(Value::String(token)) if Some(&token) != next.as_ref() => next = Some(token),
                _ => return Ok(all),
            }
        }
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
