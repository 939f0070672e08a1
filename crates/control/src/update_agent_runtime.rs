//! UpdateAgentRuntime: the next version, a full replacement. DEFAULT moves to it once it is READY, and stays if it fails.

use http::request::Parts;
use innkeep_protocol::control::{AgentRuntimeAccepted, AgentRuntimeRequest};
use innkeep_sandbox::tasks::Kind;
use innkeep_types::{RuntimeId, Settings, VersionConfig};

use crate::error::Error;
use crate::validate::{self, Violations};
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
        let request = request::body(body)?;
        let mut found = Violations::default();
        let asked = check(runtime, &request, parts, &mut found);
        let Asked { runtime, config, settings } = found.complete(asked)?;
        let token = request::client_token(&request, settings.as_ref())?;
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
}

fn check(runtime: &str, request: &AgentRuntimeRequest, parts: &Parts, found: &mut Violations) -> Option<Asked> {
    let runtime = validate::runtime_id(runtime, found);
    let config = validate::configuration(request, found);
    let settings = validate::settings(&parts.headers, found);
    validate::client_token(request.client_token.as_deref(), found);
    Some(Asked { runtime: runtime?, config: config?, settings: settings? })
}
