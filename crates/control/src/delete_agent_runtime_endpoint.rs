//! DeleteAgentRuntimeEndpoint: a named endpoint goes when its sessions have ended.

use http::request::Parts;
use innkeep_protocol::control::endpoint::DeleteAgentRuntimeEndpointResponse;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::Begins;
use innkeep_types::{EndpointName, RuntimeId, RuntimeStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::endpoint::DELETE;
use crate::{Control, Principal, request};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    agent_runtime_id: RuntimeId,
    endpoint_name: EndpointName,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

impl Control {
    pub(crate) async fn delete_agent_runtime_endpoint(
        &self,
        runtime: &str,
        endpoint: &str,
        parts: &Parts,
        principal: &Principal,
    ) -> Result<DeleteAgentRuntimeEndpointResponse, Error> {
        let members = Map::from_iter([
            ("agentRuntimeId".to_owned(), runtime.into()),
            ("endpointName".to_owned(), endpoint.into()),
            ("clientToken".to_owned(), request::query(&parts.uri, "clientToken").map_or(Value::Null, Value::from)),
        ]);
        let asked: Asked = request::checked(&DELETE, members)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let Asked { agent_runtime_id: runtime, endpoint_name: name, .. } = asked;
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "an endpoint of {runtime} is to be deleted");

        // In a task of its own: a client that goes away must not leave a delete that nobody finishes.
        let (control, id, going) = (self.clone(), runtime.clone(), name.clone());
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let now = control.inner.clock.now();
            if control.inner.store.begin_delete_endpoint(&id, &going, token, now).await? == Begins::Now {
                control.spawn_delete_endpoint(id, going);
            }
            Ok::<_, Error>(())
        });
        begun.await.map_err(Error::Lost)??;
        Ok(DeleteAgentRuntimeEndpointResponse {
            status: RuntimeStatus::Deleting,
            agent_runtime_id: runtime,
            endpoint_name: name,
        })
    }
}
