//! UpdateAgentRuntime: the next version, a full replacement. DEFAULT moves to it once it is READY, and stays if it fails.

use http::request::Parts;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::VersionRecord;
use innkeep_types::RuntimeId;

use crate::error::Error;
use crate::model::runtime::UPDATE;
use crate::validate::{self, Body, Operation, Violations};
use crate::{Control, Principal, request, wire};

impl Control {
    pub(crate) async fn update_agent_runtime(
        &self,
        runtime: &str,
        parts: &Parts,
        body: &[u8],
        principal: &Principal,
    ) -> Result<AgentRuntimeAccepted, Error> {
        let mut found = Violations::default();
        let runtime = validate::runtime_id(runtime, &mut found);
        let body = Body::check(&UPDATE, request::object(body)?, &mut found)?;
        let settings = validate::settings(&parts.headers, &mut found);
        let at = self.inner.clock.now();
        let token = match &settings {
            Some(settings) if found.is_empty() => self.inner.client_tokens.of_body(&body.members, settings.as_ref())?,
            _ => None,
        };
        // Before the rest is checked: what a version may have depends on the platform of the newest, which may be another than
        // when this request came first.
        if let (Some(runtime), Some(token)) = (&runtime, &token)
            && let Some(first) = self.inner.store.updated_before(runtime, token.clone(), at).await?
        {
            return Ok(self.updated(&first));
        }
        let before = self.platform_before(runtime.as_ref()).await?;
        let operation = Operation::Update { platform_before: before.as_deref() };
        let config = validate::configuration(&body, operation, &mut found);
        let asked = runtime.zip(config).zip(settings);
        let ((runtime, config), settings) = found.complete(asked)?;

        // In a task of its own: a client that goes away must not leave a version that nobody makes.
        let (control, key) = (self.clone(), principal.key_id.clone());
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.add_version(&runtime, config, settings, token, at).await?;
            if !accepted.replayed {
                let (id, version) = (&accepted.version.runtime, accepted.version.version);
                tracing::info!(runtime.id = %id, key.id = key, "runtime {id} gets version {version}");
                control.spawn_make(&accepted.version);
            }
            Ok::<_, Error>(accepted.version)
        });
        let record = begun.await.map_err(Error::Lost)??;
        Ok(self.updated(&record))
    }

    /// Shows a version that was added to a runtime, however that came about.
    pub(crate) fn updated(&self, record: &VersionRecord) -> AgentRuntimeAccepted {
        let last_updated_at = Some(record.updated_at.to_string());
        AgentRuntimeAccepted { last_updated_at, ..wire::accepted(&self.arn(&record.runtime), record) }
    }

    /// Returns the platform that an Update keeps if it names none: it has limits of its own.
    async fn platform_before(&self, runtime: Option<&RuntimeId>) -> Result<Option<String>, Error> {
        let Some(runtime) = runtime else { return Ok(None) };
        let newest = self.inner.store.get_version(runtime, None).await?;
        Ok(newest.and_then(|version| version.config.platform_version))
    }
}
