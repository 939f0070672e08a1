//! ListCapacityProviders: oldest first.

use http::request::Parts;
use innkeep_protocol::control::capacity_provider::ListCapacityProvidersResponse;
use innkeep_types::{CapacityProviderId, UnixMillis};

use crate::error::Error;
use crate::validate::Violations;
use crate::{Control, wire};

/// What page tokens of this list are bound to.
const LIST: &str = "capacity-providers";

impl Control {
    pub(crate) async fn list_capacity_providers(&self, parts: &Parts) -> Result<ListCapacityProvidersResponse, Error> {
        let mut found = Violations::default();
        let pages = &self.inner.pages;
        let page = pages.page(LIST, &parts.uri, after, &mut found);
        let page = found.complete(page)?;
        let mut records = self.inner.store.list_capacity_providers(page.cursor.clone(), page.fetch()).await?;
        let next_token =
            pages.cut(LIST, &page, &mut records, |record| format!("{}_{}", record.created_at.0, record.id));
        let shown = |record: innkeep_store::CapacityProviderRecord| {
            wire::capacity_provider::item(self.capacity_provider_arn(&record.id), record)
        };
        Ok(ListCapacityProvidersResponse { capacity_providers: records.into_iter().map(shown).collect(), next_token })
    }
}

/// Reads a cursor: when the last one of the page before was created, and its id. It need not exist any more.
fn after(cursor: &str) -> Option<(UnixMillis, CapacityProviderId)> {
    let (created_at, id) = cursor.split_once('_')?;
    Some((UnixMillis(created_at.parse().ok()?), CapacityProviderId::parse(id).ok()?))
}
