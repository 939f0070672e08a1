//! The control plane: Create, Get, Update, Delete and List of a runtime's endpoints.

use http::Method;
use innkeep_protocol::control::AgentRuntimeEndpoint;
use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion};
use serde_json::{Map, Value};

use crate::client::{Call, Client, encode};
use crate::control::Document;
use crate::error::Error;

impl Client {
    /// Returns a runtime's endpoints, all of them, as the server describes them.
    pub async fn endpoints(&self, runtime: &RuntimeId) -> Result<Vec<Document>, Error> {
        self.every("runtimeEndpoints", &target(runtime, None)).await
    }

    /// Returns where an endpoint stands.
    pub async fn get_endpoint(&self, runtime: &RuntimeId, name: &EndpointName) -> Result<AgentRuntimeEndpoint, Error> {
        self.json(Call::new(Method::GET, target(runtime, Some(name)))).await
    }

    /// Returns an endpoint with every member that the server gives it.
    pub async fn endpoint_document(&self, runtime: &RuntimeId, name: &EndpointName) -> Result<Document, Error> {
        self.json(Call::new(Method::GET, target(runtime, Some(name)))).await
    }

    /// Creates an endpoint that serves `version`, or the newest; returns what the server accepted.
    pub async fn create_endpoint(
        &self,
        runtime: &RuntimeId,
        name: &EndpointName,
        version: Option<RuntimeVersion>,
        description: Option<&str>,
    ) -> Result<Document, Error> {
        let mut body = members(version, description);
        body.insert("name".to_owned(), name.as_str().into());
        self.json(Call::new(Method::PUT, target(runtime, None)).json(&body)?).await
    }

    /// Moves an endpoint to `version`, or gives it another description; returns what the server accepted. Running sessions keep
    /// their version.
    pub async fn update_endpoint(
        &self,
        runtime: &RuntimeId,
        name: &EndpointName,
        version: Option<RuntimeVersion>,
        description: Option<&str>,
    ) -> Result<Document, Error> {
        let body = members(version, description);
        self.json(Call::new(Method::PUT, target(runtime, Some(name))).json(&body)?).await
    }

    /// Deletes an endpoint.
    pub async fn delete_endpoint(&self, runtime: &RuntimeId, name: &EndpointName) -> Result<(), Error> {
        self.send(Call::new(Method::DELETE, target(runtime, Some(name)))).await.map(drop)
    }
}

fn members(version: Option<RuntimeVersion>, description: Option<&str>) -> Map<String, Value> {
    let version = version.map(|version| ("agentRuntimeVersion".to_owned(), version.to_string().into()));
    let description = description.map(|text| ("description".to_owned(), text.into()));
    version.into_iter().chain(description).collect()
}

fn target(runtime: &RuntimeId, name: Option<&EndpointName>) -> String {
    let name = name.map(|name| format!("{}/", encode(name.as_str()))).unwrap_or_default();
    format!("/runtimes/{}/runtime-endpoints/{name}", encode(runtime.as_str()))
}
