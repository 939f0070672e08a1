//! DeleteResourcePolicy.

use crate::error::Error;
use crate::model::policy::NAMED;
use crate::{Control, Principal, resource};

impl Control {
    pub(crate) async fn delete_resource_policy(&self, arn: &str, principal: &Principal) -> Result<(), Error> {
        let resource_arn = resource::arn(&NAMED, arn)?;
        let (runtime, endpoint) = self.guarded(&resource_arn)?;
        if !self.inner.store.delete_policy(&runtime, endpoint.as_ref()).await? {
            return Err(Error::NoPolicy(resource_arn));
        }
        tracing::info!(runtime.id = %runtime, key.id = principal.key_id, "the policy of {resource_arn} is removed");
        Ok(())
    }
}
