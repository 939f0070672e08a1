//! DeleteAgentRuntime: a runtime with all that it has, or one version of it that nothing serves.

use http::request::Parts;
use innkeep_protocol::control::DeleteAgentRuntimeResponse;
use innkeep_sandbox::tasks::Kind;
use innkeep_types::RuntimeStatus;

use crate::error::Error;
use crate::validate::{self, Violations};
use crate::{Control, Principal, request};

impl Control {
    pub(crate) async fn delete_agent_runtime(
        &self,
        runtime: &str,
        parts: &Parts,
        principal: &Principal,
    ) -> Result<DeleteAgentRuntimeResponse, Error> {
        let mut found = Violations::default();
        let token = request::query(&parts.uri, "clientToken");
        validate::client_token(token.as_deref(), &mut found);
        let target = validate::runtime_id(runtime, &mut found).zip(validate::version(&parts.uri, &mut found));
        let (runtime, version) = found.complete(target)?;
        let token = self.inner.client_tokens.of(token, &version)?;
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "runtime {runtime} is to be deleted");

        // In a task of its own: a client that goes away must not leave a delete that nobody finishes.
        let (control, id) = (self.clone(), runtime.clone());
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            match control.inner.store.begin_delete(&id, version, token, control.inner.clock.now()).await {
                Ok(()) => control.spawn_delete(id, version),
                // A delete of what is being deleted is the first one repeated (clients retry), and no conflict.
                Err(innkeep_store::Error::InProgress(_)) if control.is_deleting(&id, version).await? => {}
                Err(refused) => return Err(Error::from(refused)),
            }
            Ok(())
        });
        begun.await.map_err(Error::Lost)??;
        Ok(DeleteAgentRuntimeResponse {
            status: RuntimeStatus::Deleting,
            agent_runtime_id: runtime,
            agent_runtime_version: version.map(|version| version.to_string()),
        })
    }
}
