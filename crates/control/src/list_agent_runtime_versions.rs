//! ListAgentRuntimeVersions: the versions of a runtime, newest first.

use http::request::Parts;
use innkeep_protocol::control::ListAgentRuntimesResponse;
use innkeep_types::RuntimeVersion;

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, wire};

impl Control {
    pub(crate) async fn list_agent_runtime_versions(
        &self,
        runtime: &str,
        parts: &Parts,
    ) -> Result<ListAgentRuntimesResponse, Error> {
        let mut found = Violations::default();
        let list = format!("versions/{runtime}");
        let pages = &self.inner.pages;
        let page = pages.page(&list, &parts.uri, |cursor| RuntimeVersion::parse(cursor).ok(), &mut found);
        let target = validate::runtime_id(runtime, &mut found).zip(page);
        let (runtime, page) = found.complete(target)?;
        let mut records = self.inner.store.page_versions(&runtime, page.cursor, page.fetch()).await?;
        // A runtime has a version as long as it lives, but a page after the last one is empty too.
        if records.is_empty() && self.inner.store.get_runtime(&runtime).await?.is_none() {
            return Err(innkeep_store::Error::NoRuntime(runtime).into());
        }
        let next_token = pages.cut(&list, &page, &mut records, |record| record.version.to_string());
        let arn = self.arn(&runtime);
        let agent_runtimes = records.into_iter().map(|record| wire::item(&arn, record)).collect();
        Ok(ListAgentRuntimesResponse { agent_runtimes, next_token })
    }
}
