//! ListCapacityProviders: oldest first.

use http::request::Parts;
use innkeep_protocol::control::capacity_provider::ListCapacityProvidersResponse;

use crate::error::Error;
use crate::validate::Violations;
use crate::{Control, page, wire};

/// What page tokens of this list are bound to.
const LIST: &str = "capacity-providers";

impl Control {
    pub(crate) async fn list_capacity_providers(&self, parts: &Parts) -> Result<ListCapacityProvidersResponse, Error> {
        let mut found = Violations::default();
        let pages = &self.inner.pages;
        let page = pages.page(LIST, &parts.uri, page::after, &mut found);
        let page = found.complete(page)?;
        let mut records = self.inner.store.list_capacity_providers(page.cursor.clone(), page.fetch()).await?;
        let next_token = pages.cut(LIST, &page, &mut records, |record| page::created(record.created_at, &record.id));
        let shown = |record: innkeep_store::CapacityProviderRecord| {
            wire::capacity_provider::item(self.capacity_provider_arn(&record.id), record)
        };
        Ok(ListCapacityProvidersResponse { capacity_providers: records.into_iter().map(shown).collect(), next_token })
    }
}
