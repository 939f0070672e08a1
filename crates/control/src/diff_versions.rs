//! `GET runtimes/{runtimeId}/versions/diff` of the operator API: how two versions differ in configuration and settings. Environment
//! variables are told by name, and never by value.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use innkeep_protocol::diff::{self, Difference};
use innkeep_protocol::operator::VersionsDiff;
use innkeep_store::VersionRecord;
use innkeep_types::{RuntimeId, RuntimeVersion};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::{Control, answer, wire};

impl Control {
    /// Compares two versions and returns the answer, an error's too. Without `to` it is the newest; without `from`, the one before
    /// `to`.
    pub async fn diff_versions(
        &self,
        runtime: &RuntimeId,
        from: Option<RuntimeVersion>,
        to: Option<RuntimeVersion>,
    ) -> Response<Full<Bytes>> {
        let compared = self.compare(runtime, from, to).await.and_then(answer::ok);
        compared.unwrap_or_else(Error::into_response)
    }

    async fn compare(
        &self,
        runtime: &RuntimeId,
        from: Option<RuntimeVersion>,
        to: Option<RuntimeVersion>,
    ) -> Result<VersionsDiff, Error> {
        let after = self.version(runtime, to).await?;
        let from = match from {
            Some(from) => from,
            None => {
                let before = self.inner.store.page_versions(runtime, Some(after.version), 1).await?;
                let nothing = || Error::NoResource(format!("version before {} of {runtime}", after.version));
                before.first().ok_or_else(nothing)?.version
            }
        };
        let before = self.version(runtime, Some(from)).await?;
        let to = after.version;
        let mut differences = diff::differences(&self.configuration(before)?, &self.configuration(after)?);
        differences.iter_mut().for_each(Difference::mask);
        Ok(VersionsDiff { from, to, differences })
    }

    async fn version(&self, runtime: &RuntimeId, version: Option<RuntimeVersion>) -> Result<VersionRecord, Error> {
        let found = self.inner.store.get_version(runtime, version).await?;
        let missing = || match version {
            Some(version) => innkeep_store::Error::NoVersion(runtime.clone(), version),
            None => innkeep_store::Error::NoRuntime(runtime.clone()),
        };
        Ok(found.ok_or_else(missing)?)
    }

    /// Returns what an update could change of a version, as the API shows it, and its settings.
    fn configuration(&self, version: VersionRecord) -> Result<Map<String, Value>, Error> {
        let settings = serde_json::to_value(&version.settings).map_err(Error::Unwritable)?;
        let shown = wire::agent_runtime(&self.arn(&version.runtime), version);
        let shown = serde_json::to_value(shown).map_err(Error::Unwritable)?;
        let Value::Object(shown) = shown else { return Ok(Map::new()) };
        let mut configuration = diff::configuration(shown);
        configuration.insert("settings".to_owned(), settings);
        Ok(configuration)
    }
}
