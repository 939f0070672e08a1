//! UpdateAgentRuntimeEndpoint: moves a named endpoint to another version, or describes it anew. What serves goes on serving until the
//! other version was checked on this host, and sessions keep the version that they run.

use innkeep_protocol::control::endpoint::UpdateAgentRuntimeEndpointResponse;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::{Begins, EndpointChange};
use innkeep_types::{EndpointName, RuntimeId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::endpoint::UPDATE;
use crate::{Control, Principal, request, wire};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    agent_runtime_id: RuntimeId,
    endpoint_name: EndpointName,
    agent_runtime_version: Option<String>,
    description: Option<String>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

impl Control {
    pub(crate) async fn update_agent_runtime_endpoint(
        &self,
        runtime: &str,
        endpoint: &str,
        body: &[u8],
        principal: &Principal,
    ) -> Result<UpdateAgentRuntimeEndpointResponse, Error> {
        let mut members = request::members(body)?;
        members.insert("agentRuntimeId".to_owned(), runtime.into());
        members.insert("endpointName".to_owned(), endpoint.into());
        let asked: Asked = request::checked(&UPDATE, members)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let target = request::version(asked.agent_runtime_version.as_deref())?;
        let Asked { agent_runtime_id: runtime, endpoint_name: name, description, .. } = asked;
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "an endpoint of {runtime} is to be moved");
        let at = self.inner.clock.now();
        self.change_endpoint(EndpointChange { runtime, name, target, description, token, at }).await
    }

    /// Takes the change down, begins the move that it asks for, and returns the answer.
    pub(crate) async fn change_endpoint(
        &self,
        change: EndpointChange,
    ) -> Result<UpdateAgentRuntimeEndpointResponse, Error> {
        let arn = self.arn(&change.runtime);
        // In a task of its own: a client that goes away must not leave a move that nobody makes.
        let control = self.clone();
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.update_endpoint(change).await?;
            if accepted.begins == Begins::Now {
                control.spawn_move(&accepted.endpoint);
            }
            Ok::<_, Error>(accepted.endpoint)
        });
        let endpoint = begun.await.map_err(Error::Lost)??;
        Ok(wire::endpoint::updated(&arn, &endpoint))
    }
}
