//! CreateAgentRuntime: a runtime, its version 1 and its endpoint DEFAULT, which serves once the version is READY.

use std::collections::BTreeMap;

use http::request::Parts;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::NewRuntime;
use innkeep_types::{RuntimeId, RuntimeName, Settings, VersionConfig};

use crate::error::Error;
use crate::model::runtime::CREATE;
use crate::validate::{self, Body, Operation, Violations};
use crate::{Control, Principal, request, wire};

/// What a valid request asks for.
struct Asked {
    name: RuntimeName,
    config: VersionConfig,
    settings: Option<Settings>,
    tags: BTreeMap<String, String>,
}

impl Control {
    pub(crate) async fn create_agent_runtime(
        &self,
        parts: &Parts,
        body: &[u8],
        principal: &Principal,
    ) -> Result<AgentRuntimeAccepted, Error> {
        let mut found = Violations::default();
        let body = Body::check(&CREATE, request::object(body)?, &mut found)?;
        let asked = check(&body, parts, &mut found);
        let Asked { name, config, settings, tags } = found.complete(asked)?;
        let token = self.inner.client_tokens.of_body(&body.members, settings.as_ref())?;

        let mut random = [0; 10];
        getrandom::fill(&mut random).map_err(Error::NoRandomness)?;
        let id = RuntimeId::generate(&name, random);
        let settings = settings.unwrap_or_default();
        let new = NewRuntime { id, name, config, settings, tags, token, at: self.inner.clock.now() };

        // In a task of its own: a client that goes away must not leave a runtime that nobody makes.
        let (control, key) = (self.clone(), principal.key_id.clone());
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.create_runtime(new).await?;
            if !accepted.replayed {
                let id = &accepted.version.runtime;
                tracing::info!(runtime.id = %id, key.id = key, "runtime {id} is created");
                control.spawn_make(&accepted.version);
            }
            Ok::<_, Error>(accepted.version)
        });
        let record = begun.await.map_err(Error::Lost)??;
        Ok(wire::accepted(&self.arn(&record.runtime), &record))
    }
}

fn check(body: &Body, parts: &Parts, found: &mut Violations) -> Option<Asked> {
    let config = validate::configuration(body, Operation::Create, found);
    let settings = validate::settings(&parts.headers, found);
    // What the table has not let pass is not there, and noted.
    let name = RuntimeName::parse(body.request.agent_runtime_name.as_deref()?).ok();
    let tags = body.request.tags.clone().unwrap_or_default();
    Some(Asked { name: name?, config: config?, settings: settings?, tags })
}
