//! `PUT runtimes/{runtimeId}/settings` of the operator API: a version that differs from the newest in its settings alone. It is made,
//! and answered, like that of UpdateAgentRuntime.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_sandbox::tasks::Kind;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, answer, request};

/// Members of the body that are looked at. Source: our choice; there are not so many settings.
const MAX_MEMBERS: usize = 100;

impl Control {
    /// Gives a runtime other settings and returns the answer, an error's too. `body` is the whole request body.
    /// # Cancel safety
    /// Safe: a change once begun is brought to its end when the caller goes away.
    pub async fn put_settings(&self, runtime: &str, body: &[u8]) -> Response<Full<Bytes>> {
        let changed = self.change_settings(runtime, body).await.and_then(answer::accepted);
        changed.unwrap_or_else(|error| error.into_response())
    }

    async fn change_settings(&self, runtime: &str, body: &[u8]) -> Result<AgentRuntimeAccepted, Error> {
        let members: Map<String, Value> = request::members(body)?;
        let mut found = Violations::default();
        found.count("settings", members.len(), 0..=MAX_MEMBERS);
        let members = if members.len() > MAX_MEMBERS { Map::new() } else { members };
        let settings = validate::settings_object("", members, &mut found);
        let target = validate::runtime_id(runtime, &mut found).zip(settings);
        let (runtime, settings) = found.complete(target)?;
        tracing::info!(runtime.id = %runtime, "runtime {runtime} gets other settings");

        // In a task of its own: a client that goes away must not leave a version that nobody makes.
        let control = self.clone();
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let now = control.inner.clock.now();
            let accepted = control.inner.store.change_settings(&runtime, settings, now).await?;
            control.spawn_make(&accepted.version);
            Ok::<_, Error>(accepted.version)
        });
        let record = begun.await.map_err(Error::Lost)??;
        Ok(self.updated(&record))
    }
}
