//! From a route to its operation, and from what that returns to an answer.

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;

use crate::error::Error;
use crate::{Control, Principal, Route, answer};

impl Control {
    /// Performs the operation and returns its answer, an error's too. `body` is the whole request body.
    /// # Cancel safety
    /// Safe: a change once begun is brought to its end when the caller goes away.
    pub async fn handle(
        &self,
        route: &Route,
        parts: &Parts,
        body: Bytes,
        principal: &Principal,
    ) -> Response<Full<Bytes>> {
        let done = self.perform(route, parts, &body, principal).await;
        done.unwrap_or_else(|error| error.into_response())
    }

    async fn perform(
        &self,
        route: &Route,
        parts: &Parts,
        body: &[u8],
        who: &Principal,
    ) -> Result<Response<Full<Bytes>>, Error> {
        self.authorize(route, parts, body, who).await?;
        match route {
            Route::CreateAgentRuntime => answer::accepted(self.create_agent_runtime(parts, body, who).await?),
            Route::GetAgentRuntime { runtime } => answer::ok(self.get_agent_runtime(runtime, parts).await?),
            Route::UpdateAgentRuntime { runtime } => {
                answer::accepted(self.update_agent_runtime(runtime, parts, body, who).await?)
            }
            Route::DeleteAgentRuntime { runtime } => {
                answer::accepted(self.delete_agent_runtime(runtime, parts, who).await?)
            }
            Route::ListAgentRuntimes => answer::ok(self.list_agent_runtimes(parts).await?),
            Route::ListAgentRuntimeVersions { runtime } => {
                answer::ok(self.list_agent_runtime_versions(runtime, parts).await?)
            }
            Route::CreateAgentRuntimeEndpoint { runtime } => {
                answer::accepted(self.create_agent_runtime_endpoint(runtime, body, who).await?)
            }
            Route::GetAgentRuntimeEndpoint { runtime, endpoint } => {
                answer::ok(self.get_agent_runtime_endpoint(runtime, endpoint).await?)
            }
            Route::UpdateAgentRuntimeEndpoint { runtime, endpoint } => {
                answer::accepted(self.update_agent_runtime_endpoint(runtime, endpoint, body, who).await?)
            }
            Route::DeleteAgentRuntimeEndpoint { runtime, endpoint } => {
                answer::accepted(self.delete_agent_runtime_endpoint(runtime, endpoint, parts, who).await?)
            }
            Route::ListAgentRuntimeEndpoints { runtime } => {
                answer::ok(self.list_agent_runtime_endpoints(runtime, parts).await?)
            }
            Route::TagResource { arn } => self.tag_resource(arn, body).await.map(|()| answer::done()),
            Route::UntagResource { arn } => self.untag_resource(arn, parts).await.map(|()| answer::done()),
            Route::ListTagsForResource { arn } => answer::ok(self.list_tags_for_resource(arn).await?),
            Route::PutResourcePolicy { arn } => answer::created(self.put_resource_policy(arn, body, who).await?),
            Route::GetResourcePolicy { arn } => answer::ok(self.get_resource_policy(arn).await?),
            Route::DeleteResourcePolicy { arn } => self.delete_resource_policy(arn, who).await.map(|()| answer::done()),
            Route::CreateCapacityProvider => answer::accepted(self.create_capacity_provider(body, who).await?),
            Route::ListCapacityProviders => answer::ok(self.list_capacity_providers(parts).await?),
            Route::GetCapacityProvider { id } => answer::ok(self.get_capacity_provider(id).await?),
            Route::UpdateCapacityProvider { id } => {
                answer::accepted(self.update_capacity_provider(id, body, who).await?)
            }
            Route::DeleteCapacityProvider { id } => {
                answer::accepted(self.delete_capacity_provider(id, parts, who).await?)
            }
            Route::ListAgentRuntimeVersionsByCapacityProvider { id } => {
                answer::ok(self.list_agent_runtime_versions_by_capacity_provider(id, parts).await?)
            }
            Route::NotYet => Err(Error::NotYet { method: parts.method.clone(), path: parts.uri.path().to_owned() }),
        }
    }
}
