//! UpdateAgentRuntime: the next version, a full replacement. DEFAULT moves to it once it is READY, and stays if it fails.

use http::request::Parts;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_sandbox::tasks::Kind;
use innkeep_types::{RuntimeId, Settings, VersionConfig};

use crate::error::Error;
use crate::model::runtime::UPDATE;
use crate::validate::{self, Body, Operation, Violations};
use crate::{Control, Principal, request, wire};

/// What a valid request asks for.
struct Asked {
    runtime: RuntimeId,
    config: VersionConfig,
    /// None: as the version before.
    settings: Option<Settings>,
}

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
        let before = self.platform_before(runtime.as_ref()).await?;
        let operation = Operation::Update { platform_before: before.as_deref() };
        let asked = check(runtime, &body, operation, parts, &mut found);
        let Asked { runtime, config, settings } = found.complete(asked)?;
        let token = request::client_token(body.members, settings.as_ref())?;
        let at = self.inner.clock.now();

        // In a task of its own: a client that goes away must not leave a version that nobody makes.
        let control = self.clone();
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.add_version(&runtime, config, settings, token, at).await?;
            if !accepted.replayed {
                control.spawn_make(accepted.version.clone());
            }
            Ok::<_, Error>(accepted.version)
        });
        let record = begun.await.map_err(Error::Lost)??;
        let (id, version) = (&record.runtime, record.version);
        tracing::info!(runtime.id = %id, key.id = principal.key_id, "runtime {id} gets version {version}");
        let last_updated_at = Some(record.updated_at.to_string());
        Ok(AgentRuntimeAccepted { last_updated_at, ..wire::accepted(&self.arn(id), &record) })
    }

    /// Returns the platform that an Update keeps if it names none: it has limits of its own.
    async fn platform_before(&self, runtime: Option<&RuntimeId>) -> Result<Option<String>, Error> {
        let Some(runtime) = runtime else { return Ok(None) };
        let newest = self.inner.store.get_version(runtime, None).await?;
        Ok(newest.and_then(|version| version.config.platform_version))
    }
}

fn check(
    runtime: Option<RuntimeId>,
    body: &Body,
    operation: Operation<'_>,
    parts: &Parts,
    found: &mut Violations,
) -> Option<Asked> {
    let config = validate::configuration(body, operation, found);
    let settings = validate::settings(&parts.headers, found);
    Some(Asked { runtime: runtime?, config: config?, settings: settings? })
}
