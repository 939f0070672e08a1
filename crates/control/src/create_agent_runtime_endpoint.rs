//! CreateAgentRuntimeEndpoint: a named endpoint. It serves once its version was checked on this host.

use std::collections::BTreeMap;

use innkeep_protocol::control::endpoint::CreateAgentRuntimeEndpointResponse;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::{Begins, NewEndpoint};
use innkeep_types::{EndpointName, RuntimeId};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::endpoint::CREATE;
use crate::{Control, Principal, request, wire};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    agent_runtime_id: RuntimeId,
    name: EndpointName,
    agent_runtime_version: Option<String>,
    description: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

impl Control {
    pub(crate) async fn create_agent_runtime_endpoint(
        &self,
        runtime: &str,
        body: &[u8],
        principal: &Principal,
    ) -> Result<CreateAgentRuntimeEndpointResponse, Error> {
        let mut members = request::members(body)?;
        members.insert("agentRuntimeId".to_owned(), runtime.into());
        let asked: Asked = request::checked(&CREATE, members)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let target = request::version(asked.agent_runtime_version.as_deref())?;
        let Asked { agent_runtime_id: runtime, name, description, tags, .. } = asked;
        let arn = self.arn(&runtime);
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "an endpoint of {runtime} is to be created");
        let new = NewEndpoint { runtime, name, target, description, tags, token, at: self.inner.clock.now() };

        // In a task of its own: a client that goes away must not leave an endpoint that nobody moves.
        let control = self.clone();
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.create_endpoint(new).await?;
            if accepted.begins == Begins::Now {
                control.spawn_move(&accepted.endpoint);
            }
            Ok::<_, Error>(accepted.endpoint)
        });
        let endpoint = begun.await.map_err(Error::Lost)??;
        Ok(wire::endpoint::created(&arn, endpoint))
    }
}
