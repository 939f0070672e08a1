//! May this caller do this: the one place where the control plane asks. Every operation is an action of its own name, on what its
//! path names, or on `*` where that is nothing yet or everything.
//!
//! A resource's own policy counts here too. So that nobody locks himself out, it does not keep operators from that policy itself.

use http::request::Parts;
use innkeep_auth::policy::{Caller, Context, Decision, Guarded, Kind, Policy, Request, decide};
use innkeep_store::Attached;
use innkeep_types::limits;
use serde_json::Value;

use crate::error::Error;
use crate::{Control, Principal, Route, request};

impl Control {
    /// Refuses a caller whose policies, or those of the resource, do not let him do what `route` is. Whether that exists is not told
    /// before.
    pub(crate) async fn authorize(
        &self,
        route: &Route,
        parts: &Parts,
        body: &[u8],
        who: &Principal,
    ) -> Result<(), Error> {
        let Some(action) = action(route) else { return Ok(()) };
        let arn = self.resource(route).unwrap_or_else(|| "*".to_owned());
        if self.is_elsewhere(&arn) {
            return Ok(());
        }
        let Attached { policy, tags } = self.attached(&arn).await?;
        let counts = !(is_about_policy(route) && who.who.operator);
        let policy = policy.filter(|_| counts).map(|document| read(&document, &arn));
        let context = self.context(route, parts, body);
        let guarded = Guarded { arn: &arn, policy: policy.as_ref(), tags: &tags };
        let request = Request { caller: Caller::Signed(&who.who), action, context: &context };
        match decide(&[guarded], &request) {
            Decision::Allow => Ok(()),
            Decision::Deny(denial) => Err(Error::Denied(Box::new(denial))),
        }
    }

    /// Returns the name of the operation, and the ARN of what its path names, if that is something.
    pub fn subject(&self, route: &Route) -> (&'static str, Option<String>) {
        (action(route).unwrap_or("UnknownOperation"), self.resource(route))
    }

    /// Returns the ARN of what the path names; of what it names badly too, which the operation refuses.
    fn resource(&self, route: &Route) -> Option<String> {
        let arn = |resource: String| {
            let (region, account) = (&self.inner.region, &self.inner.account);
            Some(format!("arn:aws:bedrock-agentcore:{region}:{account}:{resource}"))
        };
        match route {
            Route::GetAgentRuntime { runtime }
            | Route::UpdateAgentRuntime { runtime }
            | Route::DeleteAgentRuntime { runtime }
            | Route::ListAgentRuntimeVersions { runtime }
            | Route::ListAgentRuntimeEndpoints { runtime }
            | Route::CreateAgentRuntimeEndpoint { runtime } => arn(format!("runtime/{runtime}")),
            Route::GetAgentRuntimeEndpoint { runtime, endpoint }
            | Route::UpdateAgentRuntimeEndpoint { runtime, endpoint }
            | Route::DeleteAgentRuntimeEndpoint { runtime, endpoint } => {
                arn(format!("runtime/{runtime}/runtime-endpoint/{endpoint}"))
            }
            Route::TagResource { arn }
            | Route::UntagResource { arn }
            | Route::ListTagsForResource { arn }
            | Route::PutResourcePolicy { arn }
            | Route::GetResourcePolicy { arn }
            | Route::DeleteResourcePolicy { arn } => Some(arn.clone()),
            Route::GetCapacityProvider { id }
            | Route::UpdateCapacityProvider { id }
            | Route::DeleteCapacityProvider { id }
            | Route::ListAgentRuntimeVersionsByCapacityProvider { id } => arn(format!("capacity-provider/{id}")),
            Route::CreateAgentRuntime
            | Route::ListAgentRuntimes
            | Route::CreateCapacityProvider
            | Route::ListCapacityProviders
            | Route::NotYet => None,
        }
    }

    /// Tells whether it is no ARN of this account. Nothing of that kind can be here, which the operation says to whoever asks: see
    /// [`Control::named`].
    fn is_elsewhere(&self, arn: &str) -> bool {
        arn != "*" && arn.split(':').nth(4) != Some(self.inner.account.as_str())
    }

    /// Returns what is attached to a resource; nothing to what cannot be here.
    async fn attached(&self, arn: &str) -> Result<Attached, Error> {
        let Ok(resource) = self.named(arn) else { return Ok(Attached::default()) };
        let attached = self.inner.store.get_attached(vec![resource]).await?;
        Ok(attached.into_iter().next().unwrap_or_default())
    }

    fn context(&self, route: &Route, parts: &Parts, body: &[u8]) -> Context {
        let (via, now) = (parts.extensions.get().copied(), self.inner.clock.now());
        let mut context = Context { via, now, ..Context::default() };
        match route {
            Route::CreateAgentRuntime
            | Route::CreateAgentRuntimeEndpoint { .. }
            | Route::CreateCapacityProvider
            | Route::TagResource { .. } => {
                // What is no tag, too long or one too many, is refused by the operation, and in its own words.
                let members = request::members(body).unwrap_or_default();
                let tags = members.get("tags").and_then(Value::as_object).into_iter().flatten();
                let pairs = tags.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                let short = pairs.filter(|(key, value)| is_short(key) && is_short(value));
                context.request_tags = short.take(limits::MAX_POLICY_TAGS).collect();
            }
            Route::UntagResource { .. } => {
                let keys = request::queries(&parts.uri, "tagKeys").filter(|key| is_short(key));
                context.removed_tags = keys.take(limits::MAX_POLICY_TAGS).collect();
            }
            _ => {}
        }
        context
    }
}

/// A policy that cannot be read denies everything: what it would have denied is not known.
fn read(document: &str, arn: &str) -> Policy {
    Policy::parse(document, Kind::Resource(arn)).unwrap_or_else(|error| {
        tracing::error!("the policy of {arn} cannot be read, so nobody may use it until it is replaced: {error}");
        Policy::deny_everything()
    })
}

fn is_short(text: &str) -> bool {
    text.len() <= limits::MAX_POLICY_VALUE_BYTES
}

fn is_about_policy(route: &Route) -> bool {
    matches!(
        route,
        Route::PutResourcePolicy { .. } | Route::GetResourcePolicy { .. } | Route::DeleteResourcePolicy { .. }
    )
}

/// Returns the action of an operation; none for what is refused anyway.
fn action(route: &Route) -> Option<&'static str> {
    Some(match route {
        Route::CreateAgentRuntime => "CreateAgentRuntime",
        Route::GetAgentRuntime { .. } => "GetAgentRuntime",
        Route::UpdateAgentRuntime { .. } => "UpdateAgentRuntime",
        Route::DeleteAgentRuntime { .. } => "DeleteAgentRuntime",
        Route::ListAgentRuntimes => "ListAgentRuntimes",
        Route::ListAgentRuntimeVersions { .. } => "ListAgentRuntimeVersions",
        Route::GetAgentRuntimeEndpoint { .. } => "GetAgentRuntimeEndpoint",
        Route::ListAgentRuntimeEndpoints { .. } => "ListAgentRuntimeEndpoints",
        Route::CreateAgentRuntimeEndpoint { .. } => "CreateAgentRuntimeEndpoint",
        Route::UpdateAgentRuntimeEndpoint { .. } => "UpdateAgentRuntimeEndpoint",
        Route::DeleteAgentRuntimeEndpoint { .. } => "DeleteAgentRuntimeEndpoint",
        Route::TagResource { .. } => "TagResource",
        Route::UntagResource { .. } => "UntagResource",
        Route::ListTagsForResource { .. } => "ListTagsForResource",
        Route::PutResourcePolicy { .. } => "PutResourcePolicy",
        Route::GetResourcePolicy { .. } => "GetResourcePolicy",
        Route::DeleteResourcePolicy { .. } => "DeleteResourcePolicy",
        Route::CreateCapacityProvider => "CreateCapacityProvider",
        Route::ListCapacityProviders => "ListCapacityProviders",
        Route::GetCapacityProvider { .. } => "GetCapacityProvider",
        Route::UpdateCapacityProvider { .. } => "UpdateCapacityProvider",
        Route::DeleteCapacityProvider { .. } => "DeleteCapacityProvider",
        Route::ListAgentRuntimeVersionsByCapacityProvider { .. } => "ListAgentRuntimeVersionsByCapacityProvider",
        Route::NotYet => return None,
    })
}
