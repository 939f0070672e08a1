//! What the next version repeats: the configuration and settings of the newest version that serves or could, as far as no flag says
//! otherwise. A version that failed may have failed by just those.

use innkeep_protocol::diff;
use innkeep_protocol::operator::RuntimeView;
use innkeep_sdk::{Client, Document};
use innkeep_types::{RuntimeStatus, RuntimeVersion, Settings};
use serde_json::{Map, Value};

use crate::failure::{Code, Failure};
use crate::versions;

/// A version that the next one is made from.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) version: RuntimeVersion,
    /// What the API shows of it.
    pub(crate) configuration: Document,
    pub(crate) settings: Settings,
    /// Whether it was READY once.
    pub(crate) is_ready: bool,
    /// The newest version, if it is another.
    failed: Option<RuntimeVersion>,
    /// Whether that one differs in more than what it runs.
    differs: bool,
}

impl Base {
    /// Finds it. The newest version's outcome is known.
    pub(crate) async fn find(client: &Client, runtime: &RuntimeView) -> Result<Self, Failure> {
        let newest = runtime.latest_version;
        let newest_is_ready = !matches!(runtime.status, RuntimeStatus::CreateFailed | RuntimeStatus::UpdateFailed);
        let ready = match newest_is_ready {
            true => Some(newest),
            false => versions::ready_before(&client.list_versions(&runtime.id).await?, None),
        };
        let document = async |version| client.runtime_document(&runtime.id, Some(version)).await;
        let (configuration, settings, differs) = match ready {
            Some(ready) if ready != newest => {
                let (configuration, failed) = (document(ready).await?, document(newest).await?);
                let settings = client.settings(&runtime.id, Some(ready)).await?;
                let differs = settings != runtime.settings || repeated(&configuration) != repeated(&failed);
                (configuration, settings, differs)
            }
            _ => (document(newest).await?, runtime.settings.clone(), false),
        };
        let version = ready.unwrap_or(newest);
        let failed = (version != newest).then_some(newest);
        Ok(Self { version, configuration, settings, is_ready: ready.is_some(), failed, differs })
    }

    /// Says which version is repeated, if it is not the one that everybody would expect.
    pub(crate) fn note(&self) -> Option<String> {
        let (Self { version, .. }, Some(failed)) = (self, self.failed.filter(|_| self.differs)) else { return None };
        Some(format!(
            "version {failed} failed: environment and settings are those of version {version}, the newest that is READY, and not of \
             {failed}"
        ))
    }

    /// Returns the settings to ask for; none if there is nothing to change, which keeps those of the newest version.
    pub(crate) fn settings(base: Option<&Self>, changes: &Map<String, Value>) -> Result<Option<Settings>, Failure> {
        if changes.is_empty() {
            return Ok(base.filter(|base| base.failed.is_some()).map(|base| base.settings.clone()));
        }
        let before = base.map(|base| base.settings.clone()).unwrap_or_default();
        let Ok(Value::Object(mut settings)) = serde_json::to_value(before) else {
            return Err(Failure::new(Code::Failed, "the settings of the version before cannot be read"));
        };
        settings.extend(changes.clone());
        serde_json::from_value(Value::Object(settings)).map(Some).map_err(|e| Failure::usage(format!("--set: {e}")))
    }
}

/// Returns what is repeated of a version: all but what it runs.
fn repeated(document: &Document) -> Document {
    let mut configuration = diff::configuration(document.clone());
    configuration.remove("agentRuntimeArtifact");
    configuration
}
