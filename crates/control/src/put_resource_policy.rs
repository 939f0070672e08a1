//! PutResourcePolicy: attaches a policy to a runtime or an endpoint, in place of the one before.

use innkeep_protocol::control::attached::ResourcePolicy;
use innkeep_types::Authorizer;
use serde::Deserialize;

use crate::error::Error;
use crate::model::policy::PUT;
use crate::policy::Guarded;
use crate::validate::Violations;
use crate::{Control, Principal, policy, request};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    resource_arn: String,
    policy: String,
}

impl Control {
    pub(crate) async fn put_resource_policy(
        &self,
        arn: &str,
        body: &[u8],
        principal: &Principal,
    ) -> Result<ResourcePolicy, Error> {
        let mut members = request::members(body)?;
        members.insert("resourceArn".to_owned(), arn.into());
        let Asked { resource_arn, policy } = request::checked(&PUT, members)?;
        let (runtime, endpoint) = self.guarded(&resource_arn)?;
        let mut found = Violations::default();
        let newest = self.inner.store.get_version(&runtime, None).await?;
        // That it is not there is told by the write.
        let authorizer = newest.map_or(Authorizer::SigV4, |version| version.config.authorizer());
        policy::check(&policy, Guarded { arn: &resource_arn, authorizer }, &mut found);
        found.complete(Some(()))?;
        let now = self.inner.clock.now();
        self.inner.store.put_policy(&runtime, endpoint.as_ref(), policy.clone(), now).await?;
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "a policy is attached to {resource_arn}");
        Ok(ResourcePolicy { policy: Some(policy) })
    }
}
