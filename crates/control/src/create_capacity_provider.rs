//! CreateCapacityProvider: a record, READY at once. Nothing is provisioned for it.

use std::collections::BTreeMap;

use innkeep_protocol::control::capacity_provider::CapacityProviderAccepted;
use innkeep_store::{CapacityProviderRecord, NewCapacityProvider};
use innkeep_types::{CapacityProviderId, CapacityProviderName};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::model::capacity_provider::CREATE;
use crate::{Control, Principal, request, wire};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    name: CapacityProviderName,
    description: Option<String>,
    permissions_configuration: Value,
    compute_configuration: Value,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing)]
    client_token: Option<String>,
}

impl Control {
    pub(crate) async fn create_capacity_provider(
        &self,
        body: &[u8],
        principal: &Principal,
    ) -> Result<CapacityProviderAccepted, Error> {
        let asked: Asked = request::checked(&CREATE, request::members(body)?)?;
        let token = self.inner.client_tokens.of(asked.client_token.clone(), &asked)?;
        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(Error::NoRandomness)?;
        let now = self.inner.clock.now();
        let record = CapacityProviderRecord {
            id: CapacityProviderId::generate(&asked.name, random),
            name: asked.name,
            description: asked.description,
            permissions: asked.permissions_configuration,
            compute: asked.compute_configuration,
            tags: asked.tags,
            created_at: now,
            updated_at: now,
        };
        let record = self.inner.store.create_capacity_provider(NewCapacityProvider { record, token }).await?;
        let id = &record.id;
        tracing::info!(capacity_provider.id = %id, key.id = principal.key_id, "capacity provider {id} is created");
        Ok(wire::capacity_provider::created(self.capacity_provider_arn(id), record))
    }
}
