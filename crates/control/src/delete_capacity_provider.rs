//! DeleteCapacityProvider: the record goes at once. No runtime can refer to it.

use http::request::Parts;
use innkeep_protocol::control::capacity_provider::DeleteCapacityProviderResponse;
use innkeep_types::{CapacityProviderId, RuntimeStatus};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::capacity_provider::DELETE;
use crate::{Control, Principal, request};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    capacity_provider_id: CapacityProviderId,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

impl Control {
    pub(crate) async fn delete_capacity_provider(
        &self,
        id: &str,
        parts: &Parts,
        principal: &Principal,
    ) -> Result<DeleteCapacityProviderResponse, Error> {
        let members = Map::from_iter([
            ("capacityProviderId".to_owned(), id.into()),
            ("clientToken".to_owned(), request::query(&parts.uri, "clientToken").map_or(Value::Null, Value::from)),
        ]);
        let asked: Asked = request::checked(&DELETE, members)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let id = asked.capacity_provider_id;
        self.inner.store.delete_capacity_provider(&id, token, self.inner.clock.now()).await?;
        tracing::info!(capacity_provider.id = %id, key.id = principal.key_id, "capacity provider {id} is deleted");
        Ok(DeleteCapacityProviderResponse { capacity_provider_id: id, status: RuntimeStatus::Deleting })
    }
}
