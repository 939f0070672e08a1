//! GetCapacityProvider.

use innkeep_protocol::control::capacity_provider::GetCapacityProviderResponse;
use innkeep_types::CapacityProviderId;
use serde::Deserialize;
use serde_json::Map;

use crate::error::Error;
use crate::model::capacity_provider::NAMED;
use crate::{Control, request, wire};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    capacity_provider_id: CapacityProviderId,
}

impl Control {
    pub(crate) async fn get_capacity_provider(&self, id: &str) -> Result<GetCapacityProviderResponse, Error> {
        let members = Map::from_iter([("capacityProviderId".to_owned(), id.into())]);
        let Asked { capacity_provider_id: id } = request::checked(&NAMED, members)?;
        let record = self.inner.store.get_capacity_provider(&id).await?;
        let arn = self.capacity_provider_arn(&id);
        let record = record.ok_or(innkeep_store::Error::NoCapacityProvider(id))?;
        Ok(wire::capacity_provider::shown(arn, record))
    }
}
