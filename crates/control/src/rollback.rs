//! `POST runtimes/{runtimeId}/rollback` of the operator API: an older version serves again. `DEFAULT` follows the newest version, so
//! a copy of the old one becomes the newest, made and answered like that of UpdateAgentRuntime; a named endpoint moves, as by
//! UpdateAgentRuntimeEndpoint.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use innkeep_protocol::control::AgentRuntimeAccepted;
use innkeep_protocol::control::endpoint::UpdateAgentRuntimeEndpointResponse;
use innkeep_protocol::operator::Rollback;
use innkeep_sandbox::tasks::Kind;
use innkeep_store::EndpointChange;
use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion};

use crate::error::Error;
use crate::{Control, answer};

impl Control {
    /// Goes back and returns the answer, an error's too.
    /// # Cancel safety
    /// Safe: a change once begun is brought to its end when the caller goes away.
    pub async fn rollback(
        &self,
        runtime: RuntimeId,
        Rollback { version, endpoint }: Rollback,
    ) -> Response<Full<Bytes>> {
        let endpoint = endpoint.unwrap_or_else(EndpointName::default_endpoint);
        let version = match version {
            Some(version) => Ok(version),
            None => self.inner.store.version_before(&runtime, &endpoint).await,
        };
        let rolled_back = match version {
            Err(error) => Err(error.into()),
            Ok(version) if endpoint.is_default() => {
                self.publish_copy(runtime, version).await.and_then(answer::accepted)
            }
            Ok(version) => self.point_at(runtime, endpoint, version).await.and_then(answer::accepted),
        };
        rolled_back.unwrap_or_else(Error::into_response)
    }

    async fn publish_copy(&self, runtime: RuntimeId, of: RuntimeVersion) -> Result<AgentRuntimeAccepted, Error> {
        let at = self.inner.clock.now();
        // In a task of its own: a client that goes away must not leave a version that nobody makes.
        let control = self.clone();
        let begun = self.inner.tasks.spawn(Kind::Make, async move {
            let accepted = control.inner.store.copy_version(&runtime, of, at).await?;
            control.spawn_make(&accepted.version);
            Ok::<_, Error>(accepted.version)
        });
        let record = begun.await.map_err(Error::Lost)??;
        let (id, version) = (&record.runtime, record.version);
        tracing::info!(runtime.id = %id, "runtime {id} gets version {version}, a copy of {of}");
        Ok(self.updated(&record))
    }

    async fn point_at(
        &self,
        runtime: RuntimeId,
        name: EndpointName,
        target: RuntimeVersion,
    ) -> Result<UpdateAgentRuntimeEndpointResponse, Error> {
        tracing::info!(runtime.id = %runtime, "endpoint {name} of {runtime} is to go back to version {target}");
        let at = self.inner.clock.now();
        self.change_endpoint(EndpointChange { runtime, name, target: Some(target), description: None, token: None, at })
            .await
    }
}
