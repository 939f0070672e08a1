//! UpdateCapacityProvider: its description, which is all of it that can be changed.

use innkeep_protocol::control::capacity_provider::CapacityProviderAccepted;
use innkeep_types::CapacityProviderId;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::model::capacity_provider::UPDATE;
use crate::{Control, Principal, request, wire};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    capacity_provider_id: CapacityProviderId,
    description: Option<UpdatedDescription>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

/// Without a value it removes the description.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdatedDescription {
    optional_value: Option<String>,
}

impl Control {
    pub(crate) async fn update_capacity_provider(
        &self,
        id: &str,
        body: &[u8],
        principal: &Principal,
    ) -> Result<CapacityProviderAccepted, Error> {
        let mut members = request::members(body)?;
        members.insert("capacityProviderId".to_owned(), id.into());
        let asked: Asked = request::checked(&UPDATE, members)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let Asked { capacity_provider_id: id, description, .. } = asked;
        let description = description.map(|description| description.optional_value);
        let now = self.inner.clock.now();
        let record = self.inner.store.update_capacity_provider(&id, description, token, now).await?;
        tracing::info!(capacity_provider.id = %id, key.id = principal.key_id, "capacity provider {id} is described anew");
        Ok(wire::capacity_provider::updated(self.capacity_provider_arn(&id), record))
    }
}
